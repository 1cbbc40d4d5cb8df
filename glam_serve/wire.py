"""The transport of a connection: a client that takes no answers is dropped, one that is still sending is heard out."""

import asyncio
import fcntl
import socket
import struct
import termios
from collections.abc import Callable
from typing import Any, Literal

STALL_S = 10.0
"""In each such time a client whose answer waits takes MIN_TAKEN_BYTES of it, or its connection is aborted."""
MIN_TAKEN_BYTES = 32 << 10
DRAIN_S = 10.0
"""Longest time that the rest of a refused request is read and dropped, so that its client gets to read the refusal."""
DRAIN_IDLE_S = 2.0
"""Longest pause within that rest."""
DRAIN_BYTES = 512 << 20
"""Most of that rest, twice the largest request that is taken by default."""

Ending = Literal["close", "drain", "abort"]
"""How a connection is closed: at once; after the rest of the request was dropped; without what waits to be sent."""


class Wire(asyncio.Transport):
    """A socket's transport that watches over what it sends, and closes as the connection's state asks.

    `ending` is asked when the connection is to be closed.
    """

    def __init__(
        self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, *, ending: Callable[[], Ending]
    ) -> None:
        super().__init__()
        self.is_draining = False
        self._transport = transport
        self._loop = loop
        self._ending = ending
        self._num_written = 0
        self._num_taken = 0  # at the last look
        self._num_dropped = 0
        self._drain_end = 0.0
        self._watch: asyncio.TimerHandle | None = None
        self._idle: asyncio.TimerHandle | None = None

    def write(self, data: Any) -> None:
        """Send, and from then on watch that the client takes what could not be sent at once."""
        if self.is_closing():
            return
        self._num_written += len(data)
        self._transport.write(data)
        if self._watch is None and self._transport.get_write_buffer_size():
            self._look_again()

    def close(self) -> None:
        """End the connection in the way that its state asks for."""
        if self.is_closing():
            return
        ending = self._ending()
        if ending == "drain":
            self._drain()
        elif ending == "abort":
            self._transport.abort()
        else:
            self._transport.close()

    def drop(self, data: bytes) -> None:
        """Take a part of the rest that is drained."""
        self._num_dropped += len(data)
        if self._num_dropped > DRAIN_BYTES or self._loop.time() > self._drain_end:
            self._transport.close()
        else:
            self._await_rest()

    def has_failed(self) -> bool:
        """Say whether the client has answered something sent with a reset: it has closed both directions."""
        return self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0

    def stop(self) -> None:
        """Forget the timers: the connection is lost."""
        for timer in (self._watch, self._idle):
            if timer is not None:
                timer.cancel()

    def abort(self) -> None:
        """Close at once, without what waits to be sent."""
        self._transport.abort()

    def is_closing(self) -> bool:
        """Say whether nothing more is sent or understood."""
        return self.is_draining or self._transport.is_closing()

    def pause_reading(self) -> None:
        """Take nothing for a while."""
        if not self.is_draining:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Go on reading."""
        self._transport.resume_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return what asyncio tells of the socket."""
        return self._transport.get_extra_info(name, default)

    def get_write_buffer_size(self) -> int:
        """Return the bytes that wait to be given to the kernel."""
        return self._transport.get_write_buffer_size()

    @property
    def _socket(self) -> Any:
        return self._transport.get_extra_info("socket")

    def _drain(self) -> None:
        """End our direction and drop what comes: closing with bytes unread would reset what we sent (RFC 9112 9.6)."""
        self.is_draining = True
        self._drain_end = self._loop.time() + DRAIN_S
        self._transport.write_eof()
        self._transport.resume_reading()
        self._await_rest()

    def _await_rest(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
        self._idle = self._loop.call_later(DRAIN_IDLE_S, self._transport.close)

    def _look_again(self) -> None:
        self._num_taken = self._acknowledged()
        self._watch = self._loop.call_later(STALL_S, self._look)

    def _look(self) -> None:
        """Abort when the client has taken next to nothing; stop looking when nothing waits for it."""
        self._watch = None
        if not self._transport.get_write_buffer_size():
            return
        if self._acknowledged() - self._num_taken < MIN_TAKEN_BYTES:
            self._transport.abort()
        else:
            self._look_again()

    def _acknowledged(self) -> int:
        """Return how many bytes the client's side has acknowledged."""
        queued = fcntl.ioctl(self._socket.fileno(), termios.TIOCOUTQ, bytes(4))  # tcp(7), SIOCOUTQ
        return self._num_written - self._transport.get_write_buffer_size() - struct.unpack("i", queued)[0]
