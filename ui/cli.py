"""`glam-ui`: the viewer in the browser."""

import ipaddress
import signal
import sys
import threading
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

if TYPE_CHECKING:  # Gradio must not be imported before `keep_to_itself`
    from glam.client import Client

    from .admission import Admission
    from .examples import Example
    from .exams import Desk

GRACE_S = 3
"""For what is under way at the end: every open page holds a stream of events, which never ends by itself."""


@dataclass(frozen=True, kw_only=True)
class Viewer:
    """Show mammograms and where the model looks; research use only, not for diagnosis."""

    server: str = "http://127.0.0.1:8000"
    """The `glam-serve` that answers."""
    api_key_file: Path | None = None
    """File that holds the key which that server asks for. None: it asks for none."""
    demo: bool = False
    """Start a server on the demo bundle, in place of --server, and have synthetic breasts as examples."""
    host: str = "127.0.0.1"
    """Address to listen on. One that other machines reach asks for --auth-header or --passwords, and TLS before it."""
    port: int = 7860
    """Port to listen on; with --demo another one when it is taken."""
    auth_header: str | None = None
    """Header in which a proxy names the user it let in; who comes without it is refused."""
    passwords: Path | None = None
    """File of lines NAME:PASSWORD; the browser asks for them."""
    examples: Path | None = None
    """Folder of examples, each a folder of DICOM files of one exam. None: with --demo its own, else there are none."""
    store: Path | None = None
    """Folder that `glam-embed run` made with the demo bundle: with --demo, similar cases are looked up in it."""
    describe: Path | None = None
    """Folder that `glam-embed describe --out` made: the page links to what it says of a store."""
    open: bool = False
    """Open the page in this machine's browser."""

    def run(self) -> None:
        """Serve the page until Ctrl-C; ValueError for what cannot be together."""
        from .privacy import keep_to_itself

        admission, description = self._admission(), self._description()
        folder = keep_to_itself()
        with self._server() as client:
            desk = self._desk(client)
            examples = self._examples(folder)
            self._serve(desk, examples, admission, description)

    def _admission(self) -> "Admission | None":
        from .admission import ByPassword, ByProxy

        if self.auth_header is not None and self.passwords is not None:
            raise ValueError("--auth-header and --passwords are two ways to let users in: choose one")
        if self.auth_header is not None:
            return ByProxy(self.auth_header)
        if self.passwords is not None:
            return ByPassword.from_file(self.passwords)
        if not _is_loopback(self.host):
            raise ValueError(
                f"whoever reaches {self.host} would see the page: give --passwords FILE, or --auth-header NAME behind a"
                " proxy, or listen on 127.0.0.1"
            )
        return None

    def _description(self) -> Path | None:
        if self.store is not None and not self.demo:
            raise ValueError("--store is for the server of --demo: give it to the glam-serve run that answers")
        if self.describe is None:
            return None
        page = self.describe / "describe.html"
        if not page.is_file():
            raise ValueError(f"no {page}: make it with glam-embed describe STORE --out {self.describe}")
        return page

    @contextmanager
    def _server(self) -> "Iterator[Client]":
        """The server that is asked, started and stopped here with --demo."""
        from glam.client import Client
        from glam.local_server import HOST, free_port, local_server
        from glam.own_folder import own_folder

        if not self.demo:
            key = None if self.api_key_file is None else self.api_key_file.read_text().strip()
            yield Client(url=self.server, api_key=key)
            return
        port = free_port(8000)
        with own_folder("glam-ui-server-") as folder:
            say("Starting a server on the demo bundle …")
            with local_server(port, log=folder / "server.log", store=self.store):
                yield Client(url=f"http://{HOST}:{port}")

    def _desk(self, client: "Client") -> "Desk":
        model = client.model()  # before the imports: a server that does not answer is told of at once

        from .exams import Desk, ServedModel
        from .store import Store

        return Desk(client=client, model=ServedModel(raw=model), store=Store())

    def _examples(self, folder: Path) -> "dict[str, Example]":
        from .demo import demo_examples
        from .examples import examples_in

        if self.demo and self.examples is None:
            say("Drawing synthetic breasts …")
            return demo_examples(folder / "phantoms")
        return examples_in(self.examples)

    def _serve(
        self,
        desk: "Desk",
        examples: "dict[str, Example]",
        admission: "Admission | None",
        description: Path | None,
    ) -> None:
        import uvicorn

        from glam.local_server import free_port

        from .app import make_app
        from .guard import LOOPBACK
        from .previews import warm_up

        port = free_port(self.port) if self.demo else self.port
        hosts = LOOPBACK if admission is None else None  # a proxy may call it by any name
        app = make_app(desk, examples, admission=admission, hosts=hosts, description=description)
        threading.Thread(target=warm_up, daemon=True).start()
        shown = f"#{urlencode({'example': next(iter(examples))})}" if self.demo and examples else ""
        address = f"http://{self.host}:{port}/{shown}"
        say(f"The viewer is at {address}    Ctrl-C ends it. Research use only, not for diagnosis.")
        if self.open:
            threading.Timer(1.0, webbrowser.open, (address,)).start()
        options = {"log_level": "warning", "access_log": False, "timeout_graceful_shutdown": GRACE_S}
        uvicorn.run(app, host=self.host, port=port, **options)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """Run the command line: 1 for a run that fails, with one sentence."""
    import tyro

    from glam.cli import missing_module
    from glam.client import ServerError
    from glam.local_server import LocalServerError

    for number in (signal.SIGTERM, signal.SIGHUP):  # as Ctrl-C: the server of --demo ends too
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    try:
        tyro.cli(Viewer, prog="glam-ui", description=__doc__).run()
    except KeyboardInterrupt:
        sys.exit(130)
    except ServerError as error:
        sys.exit(f"glam-ui: {error.message}")
    except (LocalServerError, OSError, ValueError) as error:
        sys.exit(f"glam-ui: {error}")
    except ModuleNotFoundError as error:
        sys.exit(f"glam-ui: {missing_module(error, 'ui')}")


if __name__ == "__main__":
    main()
