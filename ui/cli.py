"""`glam-ui`: the viewer in the browser."""

import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Viewer:
    """Show mammograms and where the model looks; research use only, not for diagnosis."""

    server: str = "http://127.0.0.1:8000"
    """The `glam-serve` that answers."""
    api_key_file: Path | None = None
    """File that holds the key which that server asks for. None: it asks for none."""
    host: str = "127.0.0.1"
    """Address to listen on. Other machines reach 0.0.0.0: put a proxy with TLS before it, and give --auth-header."""
    port: int = 7860
    """Port to listen on."""
    auth_header: str | None = None
    """Header in which a proxy names the user it let in; who comes without it is refused. None: everybody is let in."""
    examples: Path | None = None
    """Folder of examples, each a folder of DICOM files of one exam. None: there are none."""

    def run(self) -> None:
        """Serve the page until Ctrl-C."""
        from glam_ui.privacy import keep_to_itself

        keep_to_itself()
        import uvicorn

        from glam.client import Client
        from glam_ui.app import make_app
        from glam_ui.examples import examples_in

        key = None if self.api_key_file is None else self.api_key_file.read_text().strip()
        client = Client(url=self.server, api_key=key)
        app = make_app(client, examples_in(self.examples), auth_header=self.auth_header)
        uvicorn.run(app, host=self.host, port=self.port, log_level="warning", access_log=False)


def main() -> None:
    """Run the command line: 1 for a run that fails, with one sentence."""
    import tyro

    from glam.client import ServerError

    try:
        tyro.cli(Viewer, prog="glam-ui", description=__doc__).run()
    except (ServerError, OSError, ValueError) as error:
        sys.exit(f"glam-ui: {error}")


if __name__ == "__main__":
    main()
