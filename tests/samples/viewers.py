"""A viewer in a process of its own, as an operator starts it."""

import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from glam.local_server import free_port

READY_TIMEOUT_S = 180.0
Launch = Callable[..., "subprocess.Popen[bytes]"]


class RunningViewer(NamedTuple):
    """`glam-ui`, and what it wrote."""

    url: str
    log: Path
    process: subprocess.Popen[bytes]


def start_viewer(
    log: Path, *options: str, launch: Launch = subprocess.Popen, port: int | None = None, server: str | None = None
) -> RunningViewer:
    """Start `glam-ui` and wait until its page answers. `launch`: starts a command, its output in a stream.

    `port`: a free one where it is not given. `server`: URL of the server that it asks; None: its own, by `--demo`.
    """
    port = free_port(7860) if port is None else port
    program = Path(sys.executable).with_name("glam-ui")
    with log.open("wb") as stream:
        source = ["--demo"] if server is None else ["--server", server]
        process = launch([str(program), *source, "--port", str(port), *options], stdout=stream, stderr=stream)
    url = f"http://127.0.0.1:{port}/"
    deadline = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except urllib.error.HTTPError:
            break  # it asks for a password
        except OSError:
            time.sleep(0.2)
        else:
            break
    else:
        process.kill()
        raise RuntimeError(f"the viewer did not start: {log.read_text(errors='replace')[-2000:]}")
    return RunningViewer(url, log, process)


def stop_viewer(viewer: RunningViewer) -> int:
    """End the viewer as an operator would; return its exit status."""
    viewer.process.send_signal(signal.SIGTERM)
    return viewer.process.wait(30)
