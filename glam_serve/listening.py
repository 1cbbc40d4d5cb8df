"""The socket of a server."""

import socket

BACKLOG = 128


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
