"""The C library's heap in a process that reads one file after another."""

import ctypes
import os
import sys

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
KEPT_BYTES = 64 << 20
"""Free memory at the end of the heap that is kept; glibc by itself gives back what goes beyond 128 KB."""
BLOCK_BYTES = 8 << 20
"""Smallest block that does not come from the heap, but from the system and back to it: one of a large image."""
OPTIONS = {
    _M_ARENA_MAX: 1,  # one heap for all threads, so that what one of them keeps serves the others
    _M_MMAP_THRESHOLD: BLOCK_BYTES,
    _M_TRIM_THRESHOLD: KEPT_BYTES,
}
OWN_SETTINGS = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TOP_PAD_", "MALLOC_ARENA_MAX")
"""What an operator may set of the same in the environment (mallopt(3))."""


def keep_freed_memory() -> bool:
    """Let glibc keep what reading a file frees for the next file; say whether it does so.

    Otherwise the kernel hands out, and clears, the same pages again for every image. To be called before there are
    threads. An operator's own settings, and another C library, are left as they are.
    """
    is_tuned = "glibc.malloc." in os.environ.get("GLIBC_TUNABLES", "") or any(
        name in os.environ for name in OWN_SETTINGS
    )
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if is_tuned or mallopt is None:
        return False
    return all(mallopt(option, value) for option, value in OPTIONS.items())
