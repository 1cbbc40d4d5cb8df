"""Whether an answer stays on this machine, for models whose licence keeps their embeddings there."""

from urllib.parse import urlsplit

from fastapi import Request

ASK_DIRECTLY = "ask a server that listens on 127.0.0.1, from its own machine and past every proxy"
LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
PROXY_WORDS = ("forwarded", "proxy", "client-ip", "clientip", "real-ip", "remote-ip", "remote-addr", "connecting-ip")
"""Parts of the names of headers that proxies add to a request they pass on (RFC 7239, RFC 9110 7.6.3, and custom)."""
PROXY_HEADERS = frozenset(
    {"via", "cdn-loop", "cf-ray", "x-originating-ip", "x-original-host", "x-original-url", "x-host", "x-scheme"}
)
PROXY_PREFIXES = ("x-envoy-", "x-amzn-", "x-arr-", "x-azure-", "x-appengine-", "tailscale-", "fastly-")


def stays_here(request: Request) -> bool:
    """Say whether the answer does not leave this machine.

    The server listens on the loopback interface, the request comes from there and names it as its host, no page of
    another host sent it, and no header, whatever its value, tells of a proxy.
    """
    peer = request.client.host if request.client else ""
    names = [request.headers.get("host", ""), *request.headers.getlist("origin")]
    return (
        request.app.state.on_loopback
        and peer in LOCAL_NAMES
        and all(_host_name(name) in LOCAL_NAMES for name in names)
        and not any(map(_is_of_proxy, request.headers.keys()))
    )


def _host_name(text: str) -> str:
    """Return the host of a Host or Origin header, without scheme and port; "" for one that cannot be read."""
    try:
        return urlsplit(text if "//" in text else f"//{text}").hostname or ""
    except ValueError:
        return ""


def _is_of_proxy(header: str) -> bool:
    name = header.lower().replace("_", "-")
    return name in PROXY_HEADERS or name.startswith(PROXY_PREFIXES) or any(word in name for word in PROXY_WORDS)
