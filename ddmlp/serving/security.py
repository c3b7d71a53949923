"""What every answer says to browsers, and under which names the server answers at all."""

from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# The report is one file without a script.
REPORT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'"
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
    """Around an application: adds those HEADERS to what it answers that it does not have, and turns away requests for
    other hosts than `hosts`.

    A page from elsewhere whose name was made to point at this machine (DNS rebinding) would else read what is served
    on loopback, as if it came from there.
    """

    def __init__(self, app: ASGIApp, hosts: frozenset[str] | None = None) -> None:
        """hosts: None for any."""
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
                f"unknown host {host or ''!r}; this server answers to {', '.join(sorted(self._hosts))}; another name "
                "needs --allow-host NAME"
            )
            await JSONResponse({"error": said}, 421)(scope, receive, guarded)


def _host(scope: Scope) -> str | None:
    """The name that the request is for, without its port; None if there is none."""
    try:
        return urlsplit(f"//{Headers(scope=scope).get('host', '')}").hostname
    except ValueError:
        return None
