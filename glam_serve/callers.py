"""Who asks: a number for each caller, by which the server's room is shared out."""

import hashlib
import ipaddress

from starlette.types import Scope

from glam_serve.keys import ApiKeys

IPV6_CUSTOMER_BITS = 64
"""Leading bits of an IPv6 address that one caller cannot choose (RFC 6177): whoever has a network has all its rest."""


def caller_of(scope: Scope, keys: ApiKeys) -> int:
    """Return the number, above 0, of who sent a request: by its key where the server knows that, else by its address.

    No header tells an address: anybody can write one.
    """
    name = keys.known(dict(scope["headers"])) or _network(scope)
    return int.from_bytes(hashlib.blake2b(name, digest_size=8).digest()) or 1


def _network(scope: Scope) -> bytes:
    """Return the address of the connection's other end, of IPv6 the part that belongs to one customer."""
    host = scope["client"][0] if scope.get("client") else ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:  # a name, or a socket that has none
        return host.encode()
    if isinstance(address, ipaddress.IPv4Address):
        return address.packed
    mapped = address.ipv4_mapped  # how IPv4 looks on a socket of both (RFC 4291 2.5.5.2)
    return mapped.packed if mapped else address.packed[: IPV6_CUSTOMER_BITS // 8]
