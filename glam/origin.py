"""The commit that runs and the machine it runs on: what figures and provenance are signed with."""

import os
import platform
import subprocess
from pathlib import Path

UNKNOWN = "unknown"


def commit(digits: int = 40) -> str:
    """Return the commit of the checkout this code runs from, with a + where files differ; UNKNOWN outside one."""
    command = ["git", "describe", "--always", f"--abbrev={digits}", "--dirty=+", "--exclude=*"]
    try:
        outcome = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return UNKNOWN
    return outcome.stdout.strip()


def machine() -> str:
    """Return the processor's name where Linux tells it, the number of cores, and the version of Python."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    processor = names[0] if names else platform.machine()
    return f"{processor}, {os.cpu_count()} cores, Python {platform.python_version()}"
