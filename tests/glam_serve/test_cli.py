"""What `glam-serve` says when it cannot start."""

import socket
import subprocess
import sys

import pytest

from glam_serve.cli import check_port_is_free


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
def test_a_free_port_is_left_free(host: str):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    check_port_is_free(host, port)
    check_port_is_free(host, port)


def test_the_server_without_its_extra_names_it():
    outcome = glam_serve("run", prelude="sys.modules['litserve'] = None; ")
    assert outcome.returncode == 1
    assert outcome.stderr == 'glam-serve: litserve is not installed: pip install "glam-mammo[serve]"\n'
