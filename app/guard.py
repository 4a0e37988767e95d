"""What every request passes first: known hosts, no cross-site writes, a cap on bodies, headers.

Plain ASGI, so that it holds for pages, API, files and errors alike. It looks at the raw headers
and never at a URL put together from them.
"""

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from app.errors import BadRequest, Forbidden, Problem, TooLarge
from app.settings import LOOPBACK, Settings

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}


class Guard:
    """``answer`` turns a Problem into a response, in the form the request asks for."""

    def __init__(
        self, app: App, settings: Settings, answer: Callable[[Request, Problem], Response]
    ) -> None:
        self.app, self.answer = app, answer
        self.hosts = _hosts(settings)
        self.max_body = settings.max_body_mib * 2**20
        self.is_loopback = settings.is_loopback

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = Request(scope)
        send = _with_headers(send)
        try:
            self.check(request)
        except Problem as problem:
            await self.answer(request, problem)(scope, receive, send)
            return
        await self.app(scope, _capped(receive, self.max_body), send)

    def check(self, request: Request) -> None:
        """Raise the Problem of a request that must not go on."""
        headers = request.headers
        host = headers.get("host", "")
        if self.hosts is not None and _name(host) not in self.hosts:
            raise BadRequest(
                "this server does not answer to that Host; add it to DOSIMETER_ALLOWED_HOSTS"
            )
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > self.max_body:
            raise TooLarge(f"a body may have at most {self.max_body // 2**20} MiB")
        if request.method not in SAFE:
            self._check_origin(request, host)

    def _check_origin(self, request: Request, host: str) -> None:
        """A page of another site may not write, whatever the browser sends along with it."""
        site, origin = (request.headers.get(name) for name in ("sec-fetch-site", "origin"))
        if site is not None and site not in ("same-origin", "none"):
            raise Forbidden("this request comes from another site")
        if origin is not None and urlsplit(origin).netloc != host:
            raise Forbidden("this request comes from another origin")
        if site is None and origin is None and self._is_ambiguous(request):
            raise Forbidden(
                "send JSON (Content-Type: application/json), or an Origin or Sec-Fetch-Site header"
            )

    def _is_ambiguous(self, request: Request) -> bool:
        """Neither a browser of today nor a client that says what it sends.

        A form of another site can send neither JSON nor a bearer token.
        """
        if "authorization" in request.headers:
            return False
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        has_body = request.headers.get("content-length", "0") != "0"
        return kind != "application/json" and (has_body or bool(kind))


def _hosts(settings: Settings) -> frozenset[str] | None:
    """Names this server answers to; None: any, because without a token nothing is given away."""
    if settings.is_loopback or settings.allowed_hosts:
        return frozenset({*LOOPBACK, settings.host, *settings.allowed_hosts})
    return None


def _name(host: str) -> str:
    """A Host header without its port."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower()


def _with_headers(send: Send) -> Send:
    async def sending(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            present = {name.lower() for name, _ in message.get("headers", ())}
            extra = _missing(present)
            message = {**message, "headers": [*message.get("headers", ()), *extra]}
        await send(message)

    return sending


def _missing(present: Iterable[bytes]) -> list[tuple[bytes, bytes]]:
    given = set(present)
    return [
        (name.lower().encode(), value.encode())
        for name, value in HEADERS.items()
        if name.lower().encode() not in given
    ]


def _capped(receive: Receive, limit: int) -> Receive:
    taken = 0

    async def receiving() -> MutableMapping[str, Any]:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > limit:
            raise HTTPException(413, f"a body may have at most {limit // 2**20} MiB")
        return message

    return receiving
