"""What `glam-serve` says when it cannot start."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from glam_serve.system import listening_socket


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
def test_a_port_is_taken_by_one_server_alone_and_free_again_at_once(host: str):
    with listening_socket(host, 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(OSError, match=f"cannot listen on {host} port {port}.*choose another --port"):
            listening_socket(host, port)
        with socket.create_connection(("127.0.0.1", port)):
            first.accept()[0].close()
    with listening_socket(host, port) as second:
        assert second.getsockname()[1] == port


@pytest.mark.parametrize("port", [0, 80, 65536])
def test_a_port_that_no_server_may_have_ends_with_one_sentence(port: int):
    outcome = glam_serve("run", "--port", port)
    assert (outcome.returncode, outcome.stderr) == (1, f"glam-serve: port {port} is not between 1024 and 65535\n")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--limits.max-spool-mb", 8), "max_spool_mb 8 is below max_upload_mb 256"),
        (("--limits.deadline-s", 0), "deadline_s 0 is not above 0"),
        (("--workers", 0), "workers 0 is not between 1 and 64"),
        (
            ("--api-keys", "/nowhere/keys"),
            "/nowhere/keys cannot be read (No such file or directory): name a file of keys",
        ),
    ],
)
def test_an_option_that_cannot_be_ends_without_a_trace(words: tuple[object, ...], sentence: str):
    outcome = glam_serve("run", *words)
    assert outcome.returncode == 1
    assert outcome.stderr.startswith("glam-serve: ")
    assert sentence in outcome.stderr
    assert outcome.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("soft", "hard", "outcome"),
    [
        (64, 256, "(256, 256) a process may open 256 files, and its limits may need 1536: raise ulimit -n"),
        (64, 4096, "(1536, 4096)"),
        (2048, 4096, "(2048, 4096)"),
    ],
)
def test_as_many_files_may_be_open_as_the_limits_need_or_the_lack_is_told(soft: int, hard: int, outcome: str):
    code = (
        "import logging, resource, sys; from glam_serve.limits import Limits; from glam_serve.system import *;"
        "logging.basicConfig(stream=sys.stdout, format='%(message)s');"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard})); allow_open_files(Limits());"
        "print(resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert sorted(done.stdout.splitlines()) == sorted(outcome.replace(") a", ")\na").splitlines())


def test_a_file_without_a_key_is_refused_with_what_to_write(tmp_path: Path):
    keys = tmp_path / "keys"
    keys.write_text("# none yet\n")
    outcome = glam_serve("run", "--api-keys", keys)
    assert outcome.returncode == 1
    assert outcome.stderr == f"glam-serve: {keys} holds no key: write one a line, or leave out --api-keys\n"


def test_the_server_without_its_extra_names_it():
    outcome = glam_serve("run", prelude="sys.modules['litserve'] = None; ")
    assert outcome.returncode == 1
    assert outcome.stderr == 'glam-serve: litserve is not installed: pip install "glam-mammo[serve]"\n'
