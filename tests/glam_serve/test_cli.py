"""What `glam-serve` says when it cannot start."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from glam_serve.cli import Run
from glam_serve.supervisor import listening_socket


def glam_serve(*words: object, prelude: str = "") -> subprocess.CompletedProcess[str]:
    code = f"import sys; {prelude}sys.argv = ['glam-serve', *{[str(word) for word in words]!r}]; "
    code += "import glam_serve.cli; glam_serve.cli.main()"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)


def test_a_port_that_is_taken_ends_with_one_sentence():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        outcome = glam_serve("run", "--port", port)
    assert (outcome.returncode, outcome.stdout) == (1, "")
    assert outcome.stderr.startswith(f"glam-serve: cannot listen on 127.0.0.1 port {port} (Address already in use)")
    assert outcome.stderr.count("\n") == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_port_is_taken_once_whatever_the_second_asks_for(host: str):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with listening_socket(host, port), pytest.raises(OSError, match=f"port {port} .*: choose another --port"):
        listening_socket(host, port)
    listening_socket(host, port).close()  # it is free again at once


@pytest.mark.parametrize("port", [0, 80, 1023, 65536])
def test_a_port_that_needs_root_or_is_none_is_refused(port: int):
    with pytest.raises(ValueError, match=f"^port {port} is not between 1024 and 65535"):
        Run(port=port).run()


def test_the_flags_reach_the_workers():
    workers = Run(workers=2, apis=3, threads=4, provider="P", max_batch=5, batch_wait_s=0.5)._workers()
    assert list(vars(workers).values()) == [2, 3, 4, "P", 5, 0.5]


def test_an_audit_log_that_cannot_be_made_ends_with_one_sentence(tmp_path: Path):
    outcome = glam_serve("run", "--audit", tmp_path / "none" / "audit")
    assert (outcome.returncode, outcome.stdout) == (1, "")
    assert outcome.stderr.startswith("glam-serve: [Errno 2] No such file or directory")


def test_the_server_without_its_extra_names_it():
    outcome = glam_serve("run", prelude="sys.modules['litserve'] = None; ")
    assert outcome.returncode == 1
    assert outcome.stderr == 'glam-serve: litserve is not installed: pip install "glam-mammo[serve]"\n'
