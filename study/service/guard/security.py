"""Who may ask what: token, Host and Origin, size of requests, security headers. Pure ASGI, so that streams stream."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
import socket
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from study.service.guard.problems import problem_response, too_large
from study.service.pages.rendering import content_security_policy, page, wants_page
from study.service.settings import Settings

SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cache-control": "no-store",
}
"""On every response that does not set them itself; only pages' own assets say that they may be cached."""


class Guard:
    """ASGI middleware around the whole application: what it lets through knows the token and comes from here.

    The request's nonce for inline scripts is ``request.state.nonce``.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self.settings = settings
        self.cookie = f"tunability-{settings.port}"  # cookies do not tell ports apart
        # Not the token itself, so that a cookie that leaks is of no use as a header.
        self.session = hmac.new(settings.token.encode(), b"cookie", hashlib.sha256).hexdigest()
        names = {settings.host, "localhost", socket.gethostname(), *settings.hosts}
        self.hosts = {name.lower() for name in names}
        self.proxies = {name.lower() for name in settings.hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
            else:
                await self.app(scope, receive, send)
            return
        nonce = secrets.token_urlsafe(16)
        scope.setdefault("state", {})["nonce"] = nonce

        async def secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("content-security-policy", content_security_policy(nonce))
            await send(message)

        response = self.refusal(scope)
        if response is None:
            await self.app(scope, receive, secured)
        else:
            await response(scope, receive, secured)

    def refusal(self, scope: Scope) -> Response | None:
        """What to answer instead of letting a request through, if so."""
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not self.known_host(host):
            return problem_response(
                400,
                f"this service is not called {host!r}: use its address, or start it with --allow-host NAME",
            )
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        token = dict(query).get("token")
        if token is not None and scope["method"] == "GET":
            return self.sign_in(scope, token, [(key, value) for key, value in query if key != "token"])
        by_cookie = self.has_cookie(headers)
        if not by_cookie and not self.has_header(headers):
            return self.not_signed_in(
                scope,
                "the token is missing or wrong: open the URL that tunability serve printed, "
                "or send the header 'Authorization: Bearer TOKEN'",
            )
        size = headers.get("content-length", "0")
        if size.isdigit() and int(size) > self.settings.max_body:  # Starlette would answer in plain text
            return problem_response(413, too_large(self.settings.max_body))
        if scope["method"] not in SAFE_METHODS:
            origin = headers.get("origin")
            if origin is not None and not self.own_origin(origin, host):
                return problem_response(
                    403,
                    f"a page of {origin!r} may not change anything here: behind a proxy of that name, start the "
                    "service with --allow-host NAME",
                )
            if origin is None and by_cookie and headers.get("sec-fetch-site") != "same-origin":
                return problem_response(
                    403,
                    "a change without an Origin: scripts send 'Authorization: Bearer TOKEN' and no cookie",
                )
        return None

    def own_origin(self, origin: str, host: str) -> bool:
        """Whether a page is one of this service, maybe behind a proxy that calls it by another name."""
        try:
            parts = urlsplit(origin)
            return parts.netloc.lower() == host.lower() or parts.hostname in self.proxies
        except ValueError:
            return False

    def known_host(self, host: str) -> bool:
        """Whether a request may call the service so: its names, or any address, which no foreign name leads to."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name in self.hosts:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def sign_in(self, scope: Scope, token: str, query: list[tuple[str, str]]) -> Response:
        """A cookie for the token, and the same page again without it in the URL."""
        if not same(token, self.settings.token):
            return self.not_signed_in(
                scope, "the token is wrong: open the URL that tunability serve printed", query
            )
        path = "/" + scope["path"].lstrip("/\\")  # never //elsewhere
        response = RedirectResponse(path + (f"?{urlencode(query)}" if query else ""), 303)
        secure = scope.get("scheme") == "https"
        response.set_cookie(
            self.cookie, self.session, httponly=True, samesite="strict", secure=secure, path="/"
        )
        return response

    def not_signed_in(
        self, scope: Scope, detail: str, query: list[tuple[str, str]] | None = None
    ) -> Response:
        """A refusal: for browsers a page that asks for the token, and then goes on to where one wanted to be."""
        path = "/" + scope["path"].lstrip("/\\")  # the form's action: never //elsewhere
        request = Request({**scope, "path": path})
        if request.method == "GET" and wants_page(request):
            wanted = request.query_params.multi_items() if query is None else query
            return page(request, "sign-in.html", 401, query=wanted, wrong=query is not None)
        return problem_response(401, detail, {"www-authenticate": 'Bearer realm="tunability"'})

    def has_cookie(self, headers: Headers) -> bool:
        try:
            found = SimpleCookie(headers.get("cookie", "")).get(self.cookie)
        except CookieError:
            return False
        return found is not None and same(found.value, self.session)

    def has_header(self, headers: Headers) -> bool:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and same(token.strip(), self.settings.token)


def same(given: str, wanted: str) -> bool:
    """Whether two texts are equal, in a time that does not tell where they differ."""
    return hmac.compare_digest(given.encode(), wanted.encode())
