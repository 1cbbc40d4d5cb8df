"""What a server asks of the operating system: a socket, and enough open files."""

import logging
import resource
import socket

from glam.exam import MAX_IMAGES
from glam_serve.connections import MAX_CONNECTIONS, MAX_DRAINED
from glam_serve.limits import Limits
from glam_serve.store import MAX_OPEN_JOBS

log = logging.getLogger(__name__)

BACKLOG = 128
OWN_FILES = 128
"""Files that an API process has open without any request, libraries and pipes included, and some to spare."""


def listening_socket(host: str, port: int) -> socket.socket:
    """Return a listening socket; OSError with the way out where something listens there already."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(
        socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
    )  # not SO_REUSEPORT: a second server must not share it
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise OSError(f"cannot listen on {host} port {port} ({error.strerror}): choose another --port") from error
    listener.set_inheritable(True)
    return listener


def allow_open_files(limits: Limits) -> None:
    """Let this process and its children open the files that its limits may need, as far as the system permits.

    Where it does not, connections would wait unheard for one that closes: a warning says so at the start.
    """
    forms = limits.max_waiting + MAX_OPEN_JOBS
    needed = MAX_CONNECTIONS + MAX_DRAINED + forms * MAX_IMAGES + OWN_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < needed:
        log.warning("a process may open %d files, and its limits may need %d: raise ulimit -n", allowed, needed)
