"""`glam-serve run`."""

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from glam_serve.limits import Limits, Workers


@dataclass(frozen=True, kw_only=True)
class Run:
    """Answer `POST /predict` until SIGTERM or Ctrl-C."""

    bundle: Path | None = None
    """Folder that glam-export made. None: the demo bundle that comes with the package."""
    host: Literal["127.0.0.1", "0.0.0.0", "::"] = "127.0.0.1"
    """Address to listen on; other machines reach 0.0.0.0 and ::, and nothing here asks them for a password."""
    port: int = 8000
    threads: int | None = None
    """Threads of one call of the model. None: all cores."""
    provider: str = field(default_factory=lambda: os.environ.get("GLAM_PROVIDER", "CPUExecutionProvider"))
    """ONNX Runtime's execution provider; GLAM_PROVIDER in the environment sets the default."""
    workers: int = 1
    """Processes that run the model, a copy of it each; weights are shared."""
    apis: int = 1
    """Processes that read and prepare files and answer."""
    api_keys: Path | None = None
    """File of keys, one a line, of which every request must bear one (/livez and /readyz need none). None: no keys."""
    prompt_sets: Path | None = None
    """Folder of prompt sets (*.yaml), beside those of the package; a set of the same name takes its place."""
    limits: Limits = field(default_factory=Limits)

    def run(self) -> None:
        """Serve a bundle."""
        from glam.bundle import DEMO_BUNDLE, read_bundle
        from glam.words.prompt_sets import packaged_sets, sets_in
        from glam_serve.keys import ApiKeys
        from glam_serve.log import log_to_stderr
        from glam_serve.server import check_permission, make_server
        from glam_serve.supervisor import Supervisor, listening_socket

        if not 1024 <= self.port <= 65535:
            raise ValueError(f"port {self.port} is not between 1024 and 65535")
        bundle = read_bundle(self.bundle or DEMO_BUNDLE, verify=False)  # each worker verifies what it loads
        check_permission(bundle, self.host)
        server = make_server(
            bundle,
            limits=self.limits,
            keys=None if self.api_keys is None else ApiKeys.from_file(self.api_keys),
            workers=Workers(num_workers=self.workers, num_apis=self.apis, threads=self.threads, provider=self.provider),
            host=self.host,
            prompt_sets=packaged_sets() | ({} if self.prompt_sets is None else sets_in(self.prompt_sets)),
        )
        listener = listening_socket(self.host, self.port)
        log_to_stderr()
        Supervisor(server, listener, grace_s=self.limits.grace_s).run()


def main() -> None:
    """Run the command line: 2 for one that cannot be read, 1 for a run that fails."""
    from glam.cli import missing_module, said

    try:
        parse_command().run()
    except (ValueError, OSError, RuntimeError) as error:
        sys.exit(f"glam-serve: {said(error)}")
    except ModuleNotFoundError as error:
        sys.exit(f"glam-serve: {missing_module(error, 'serve')}")


def parse_command() -> Run:
    """Return the command of sys.argv."""
    import tyro

    return tyro.extras.subcommand_cli_from_dict({"run": Run}, prog="glam-serve", description=__doc__)


if __name__ == "__main__":
    main()
