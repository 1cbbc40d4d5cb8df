"""`glam-serve run`."""

import os
import socket
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal


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
    max_upload_mb: int = 256
    """Largest request."""

    def run(self) -> None:
        """Verify the bundle, then serve it."""
        from glam.bundle import DEMO_BUNDLE, read_bundle
        from glam_serve.server import check_permission, make_server, run_server

        if not 1024 <= self.port <= 65535:
            raise ValueError(f"port {self.port} is not between 1024 and 65535")
        bundle = read_bundle(self.bundle or DEMO_BUNDLE)
        check_permission(bundle, self.host)
        check_port_is_free(self.host, self.port)
        server = make_server(
            bundle,
            threads=self.threads,
            provider=self.provider,
            max_upload_mb=self.max_upload_mb,
            host=self.host,
        )
        run_server(server, host=self.host, port=self.port)


def check_port_is_free(host: str, port: int) -> None:
    """OSError with the way out when nothing can listen there: the server itself would find out in another process."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise OSError(f"cannot listen on {host} port {port} ({error.strerror}): choose another --port") from error


def main() -> None:
    """Run the command line: 2 for one that cannot be read, 1 for a run that fails."""
    from glam.cli import missing_module, said

    try:
        parse_command().run()
    except (ValueError, OSError) as error:
        sys.exit(f"glam-serve: {said(error)}")
    except ModuleNotFoundError as error:
        sys.exit(f"glam-serve: {missing_module(error, 'serve')}")


def parse_command() -> Run:
    """Return the command of sys.argv."""
    import tyro

    return tyro.extras.subcommand_cli_from_dict({"run": Run}, prog="glam-serve", description=__doc__)


if __name__ == "__main__":
    main()
