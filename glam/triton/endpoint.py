"""Where a Triton Inference Server listens."""

import ipaddress
from typing import Literal, NamedTuple
from urllib.parse import urlsplit


class Endpoint(NamedTuple):
    """Where a Triton listens, and what it speaks there."""

    protocol: Literal["grpc", "http"]
    host: str
    port: int

    @property
    def address(self) -> str:
        """Host and port, as tritonclient takes them."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """The address with its protocol, as it was given."""
        return f"{self.protocol}://{self.address}"

    @property
    def is_loopback(self) -> bool:
        """Whether the address is known to be on this machine."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def parse_endpoint(url: str) -> Endpoint:
    """Return the parts of a URL; ValueError for one that names anything but a protocol, a host and a port."""
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = None
    has_more = parts.path.strip("/") or parts.query or parts.fragment or parts.username is not None
    for protocol in ("grpc", "http"):
        if parts.scheme == protocol and parts.hostname and port and not has_more:
            return Endpoint(protocol, parts.hostname, port)
    raise ValueError(f"{url!r} is no address of a Triton server: write grpc://HOST:8001 or http://HOST:8000")
