"""Whether an answer stays on this machine, for models whose licence keeps their embeddings there."""

from fastapi import Request

ASK_DIRECTLY = "ask a server that listens on 127.0.0.1, from its own machine and past every proxy"
PROXY_HEADERS = frozenset(
    {
        "forwarded",
        "via",
        "x-real-ip",
        "x-client-ip",
        "x-cluster-client-ip",
        "x-original-forwarded-for",
        "true-client-ip",
    }
)
"""What proxies add to a request they pass on (RFC 7239, RFC 9110 7.6.3, and custom), beside X-Forwarded-*."""
PROXY_PREFIXES = ("x-forwarded", "cf-connecting-ip", "fly-client-ip")


def stays_here(request: Request) -> bool:
    """Say whether the answer does not leave this machine.

    The server listens on the loopback interface, and no header, whatever its value, tells of a proxy.
    """
    return request.app.state.on_loopback and not any(map(_is_of_proxy, request.headers.keys()))


def _is_of_proxy(header: str) -> bool:
    name = header.lower().replace("_", "-")
    return name in PROXY_HEADERS or name.startswith(PROXY_PREFIXES)
