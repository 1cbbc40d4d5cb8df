"""`glam-serve run | audit verify | listen`."""

import json
import os
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from glam_serve.limits import Limits, ServerOptions, Workers
from glam_serve.listen.command import Listen
from glam_serve.log import LogFormat

PORT_VARIABLE = "GLAM_PORT"


def _default_port() -> int:
    """Return the port of the environment, or 8000; ValueError for what is none there."""
    text = os.environ.get(PORT_VARIABLE, "8000")
    if not re.fullmatch("[0-9]{1,5}", text):
        raise ValueError(f"{PORT_VARIABLE} {text!r} is no port: set it to a number from 1024 to 65535, or leave it out")
    return int(text)


@dataclass(frozen=True, kw_only=True)
class Run:
    """Answer `POST /predict` until SIGTERM or Ctrl-C."""

    bundle: Path | None = None
    """Folder that glam-export made. None: the demo bundle that comes with the package."""
    host: Literal["127.0.0.1", "0.0.0.0", "::"] = "127.0.0.1"
    """Address to listen on; other machines reach 0.0.0.0 and ::, and are asked for a key only with --api-keys."""
    port: int = field(default_factory=_default_port)
    """Port to listen on, 1024 to 65535; GLAM_PORT in the environment sets the default."""
    threads: int | None = None
    """Threads of one call of the model. None: all cores."""
    provider: str = field(default_factory=lambda: os.environ.get("GLAM_PROVIDER", "CPUExecutionProvider"))
    """ONNX Runtime's execution provider; GLAM_PROVIDER in the environment sets the default."""
    runtime: Literal["onnx", "triton"] = "onnx"
    """What runs the model: ONNX Runtime in each worker, or a Triton server that all workers ask."""
    triton_url: str | None = None
    """Address of that Triton, which serves what `glam-export triton` wrote: grpc://HOST:8001 or http://HOST:8000."""
    variant: str | None = None
    """Graphs of the bundle to answer by: portable, fused, int8, fp16, bf16. None: fused (CPU, CUDA), else portable."""
    workers: int = 1
    """Processes that run the model, a copy of it each (weights of over 64 MiB are shared), or that ask Triton."""
    apis: int = 1
    """Processes that read and prepare files and answer."""
    api_keys: Path | None = None
    """File of keys, one a line, of which every request must bear one, but for probes and the schema. None: no keys."""
    max_batch: int = 1
    """Requests that a worker takes together, whose views run up to 8 at a time: more than one is meant for a GPU."""
    batch_wait_s: float = 0.005
    """Longest time in seconds that a request waits for others to join its batch."""
    cache_mb: int = 0
    """Most MB of answers that each API process keeps, to give them again to the same request; 0: it keeps none."""
    log_format: LogFormat = "text"
    """Format of the log, on stderr: lines to read, or a JSON object a line."""
    audit: Path | None = None
    """File to which every answer of the model is written before it is sent, chained by hashes. None: there is none."""
    prompt_sets: Path | None = None
    """Folder of prompt sets (*.yaml), beside those of the package; a set of the same name takes its place."""
    store: Path | None = None
    """Store of `glam-embed run`, made by the same bundle, in which POST /v1/similar looks. None: there is none."""
    limits: Limits = field(default_factory=Limits)

    def run(self) -> None:
        """Serve a bundle."""
        from glam.bundle import DEMO_BUNDLE, PORTABLE, read_bundle
        from glam.loading import with_variant
        from glam_serve.keys import ApiKeys
        from glam_serve.log import log_to_stderr
        from glam_serve.metrics import metrics_folder
        from glam_serve.server import check_permission, make_server
        from glam_serve.supervisor import Supervisor
        from glam_serve.system import allow_open_files, listening_socket

        if not 1024 <= self.port <= 65535:
            raise ValueError(f"port {self.port} is not between 1024 and 65535")
        bundle = read_bundle(self.bundle or DEMO_BUNDLE, verify=False)  # each worker verifies what it loads
        chosen = PORTABLE if self.runtime == "triton" and self.variant is None else self.variant
        bundle = with_variant(bundle, chosen, provider=self.provider)
        check_permission(bundle, self.host)
        log_to_stderr(self.log_format)
        with metrics_folder():
            server = make_server(
                bundle,
                limits=self.limits,
                keys=None if self.api_keys is None else ApiKeys.from_file(self.api_keys),
                workers=self._workers(),
                host=self.host,
                options=ServerOptions(
                    audit=self.audit,
                    log_format=self.log_format,
                    cache_mb=self.cache_mb,
                    prompt_sets=self.prompt_sets,
                    store=self.store,
                ),
            )
            listener = listening_socket(self.host, self.port)
            allow_open_files(self.limits)
            Supervisor(server, listener, grace_s=self.limits.grace_s).run()

    def _workers(self) -> Workers:
        return Workers(
            num_workers=self.workers,
            num_apis=self.apis,
            threads=self.threads,
            provider=self.provider,
            max_batch=self.max_batch,
            batch_wait_s=self.batch_wait_s,
            runtime=self.runtime,
            triton_url=self.triton_url,
        )


@dataclass(frozen=True, kw_only=True)
class Audit:
    """Check that every line of an audit log follows from the one before; print how many there are and the last hash."""

    action: Literal["verify"]
    """What to do with the log."""
    file: Path
    """What `glam-serve run --audit` wrote."""

    def run(self) -> None:
        """Verify a log, from its beginning."""
        from glam_serve.audit import verify

        chain = verify(self.file)
        sys.stdout.write(json.dumps({"lines": chain.num_lines, "last_hash": chain.last_hash}) + "\n")


def main() -> None:
    """Run the command line: 2 for one that cannot be read, 1 for a run that fails."""
    from glam.cli import missing_module, said

    try:
        parse_command().run()
    except (ValueError, OSError, RuntimeError) as error:
        sys.exit(f"glam-serve: {said(error)}")
    except ModuleNotFoundError as error:
        sys.exit(f"glam-serve: {missing_module(error, 'listen' if error.name == 'pynetdicom' else 'serve')}")


def parse_command() -> Run | Audit | Listen:
    """Return the command of sys.argv."""
    import tyro

    config = (tyro.conf.PositionalRequiredArgs,)
    commands = {"run": Run, "audit": Audit, "listen": Listen}
    return tyro.extras.subcommand_cli_from_dict(commands, prog="glam-serve", description=__doc__, config=config)


if __name__ == "__main__":
    main()
