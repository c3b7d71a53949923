"""Security headers of all answers, and a check of the Host header."""

from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ddmlp.runs.timeline import digest

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# The report is one file, whose only script is that of its timelines.
REPORT_POLICY = (
    f"default-src 'none'; script-src {digest()}; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class Guard:
    """ASGI middleware that adds HEADERS to answers that lack them, and rejects requests for unknown hosts.

    Without the check, a foreign web page whose name resolves to this machine (DNS rebinding) could read what is served
    on loopback.

    Parameters
    ----------
    app
        The application.
    hosts
        The host names that it answers to; None for all.
    """

    def __init__(self, app: ASGIApp, hosts: frozenset[str] | None = None) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif self._hosts is None or (host := _host(scope)) in self._hosts:
            await self._app(scope, receive, guarded)
        else:
            said = (
                f"unknown host {host or ''!r}; this server answers to {', '.join(sorted(self._hosts))}; allow another "
                "name with --allow-host NAME"
            )
            await JSONResponse({"error": said}, 421)(scope, receive, guarded)


def _host(scope: Scope) -> str | None:
    """Return the name in the Host header, without the port; None if there is none."""
    try:
        return urlsplit(f"//{Headers(scope=scope).get('host', '')}").hostname
    except ValueError:
        return None
