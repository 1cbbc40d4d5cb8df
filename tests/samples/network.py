"""What a command says to the network, its children too, by strace."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

LOOPBACK = re.compile(r'inet_addr\("127\.|"::1"|"::ffff:127\.')
SENDS = re.compile(r"\b(connect|sendto|sendmsg|sendmmsg)\(")


def traced(trace: Path, home: Path, *command: object, **options: Any) -> subprocess.Popen[bytes]:
    """A command whose network calls, its children's too, are written down; its home is `home`."""
    if not shutil.which("strace"):
        pytest.skip("no strace: apt-get install strace")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("XDG_", "ORT_"))}
    words = ["strace", "-f", "-qq", "-s", "256", "-e", "trace=network", "-e", "signal=none", "-o", str(trace)]
    return subprocess.Popen(
        [*words, *map(str, command)],
        env=environment | {"HOME": str(home)},
        stdout=subprocess.DEVNULL,
        start_new_session=True,
        **options,
    )


def reached_out(trace: Path) -> list[str]:
    """The traced calls that go, or would go, beyond this machine: to an address, or to whoever looks names up."""
    calls = [line for line in trace.read_text(errors="replace").splitlines() if SENDS.search(line)]
    return [call for call in calls if ("AF_INET" in call and not LOOPBACK.search(call)) or "nscd" in call]
