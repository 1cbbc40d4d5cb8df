"""The heap of a process that reads files keeps what it frees; measured in a process of its own."""

import os
import subprocess
import sys

import pytest

from glam_serve.heap import OWN_SETTINGS

PROGRAM = """
import resource, sys
import numpy as np
from glam_serve.heap import keep_freed_memory

def faults(rows):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        held = [np.ones((rows, 1 << 20), np.uint8) for _ in range(4)]
        del held
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

kept = keep_freed_memory()
faults(3)
print(kept, faults(3))
"""
PAGES = 20 * 4 * 3 * 256
"""That twenty rounds of four arrays of 3 MB fill."""


def kept_and_faults(**environment: str) -> tuple[bool, int]:
    """Whether the heap keeps what is freed, and the page faults of twelve megabytes taken and freed twenty times."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_TUNABLES"))}
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, env=ours | environment, capture_output=True, text=True, check=True)
    kept, faults = done.stdout.split()
    return kept == "True", int(faults)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have another C library")
def test_memory_that_is_freed_is_used_again_and_not_asked_for_anew():
    kept, faults = kept_and_faults()
    assert kept
    assert faults < PAGES / 20


@pytest.mark.parametrize("name", [*OWN_SETTINGS, "GLIBC_TUNABLES"])
def test_settings_of_an_operator_are_left_as_they_are(name: str):
    value = "glibc.malloc.trim_threshold=131072" if name == "GLIBC_TUNABLES" else "131072"
    assert kept_and_faults(**{name: value})[0] is False
