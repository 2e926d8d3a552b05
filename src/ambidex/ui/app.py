"""The dashboard as an application: who is let in, and what is written back.

Every request goes through ``App._serve``: host, path, token, role, scope, form; only then a page is made. A path
that the table does not name is not there, and an action that no role may do is nobody's.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any
from urllib.parse import parse_qsl, urlencode

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from ambidex.errors import AmbidexError, InternalError, NotFound, UsageError, did_you_mean
from ambidex.records import NAME
from ambidex.ui import render
from ambidex.ui.desk import Desk
from ambidex.ui.guard import COOKIE, POLICY, Denied, Guard, Reader
from ambidex.ui.insights import report_html
from ambidex.ui.looking import Look
from ambidex.ui.routes import ROUTES, Call, Found, Route, inside, nothing
from ambidex.version import __version__

__all__ = ["PAGES", "App"]

PAGES = (
    ("/", "Overview"),
    ("/insights", "Insights"),
    ("/models", "Models"),
    ("/serving", "Serving"),
    ("/drift", "Drift"),
    ("/next", "Next step"),
)
MOST_BODY = 10_000
LONGEST = 2000
TYPES = {"html": "text/html; charset=utf-8", "json": "application/json", "csv": "text/csv; charset=utf-8"}

Row = dict[str, Any]


class App:
    """The dashboard as an ASGI application.

    Args:
        desk: What is kept between pages.
        guard: Lets readers in.
        acting_as: Names in the log who stands behind a token.
    """

    def __init__(self, desk: Desk, guard: Guard, acting_as: Callable[[str], Any]) -> None:
        self._desk = desk
        self._guard = guard
        self._acting_as = acting_as

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        try:
            body = await _body(request)
        except AmbidexError as error:
            response = self._problem(request, error, _Path(scope["path"]), None)
        else:
            response = await run_in_threadpool(self._answer, request, body)
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        await response(scope, receive, send)

    # ------------------------------------------------------------ the way of a request

    def _answer(self, request: Request, body: bytes) -> Response:
        path = _Path(request.url.path)
        reader: Reader | None = None
        try:
            if not self._guard.known_host(request.headers.get("host", ""), request.scope.get("server")):
                raise Denied(
                    "http.host", "this server goes by another name", found=request.headers.get("host", "")[:80]
                )
            route, words = _find(path, request.method)
            if route.answer is nothing and "asset" in words:
                return _asset(words["asset"])
            if path.plain == "/health":
                return Response('{"live":true}', media_type="application/json")
            reader = self._guard.reader(request.headers, request.cookies)
            return self._serve(request, path, route, words, reader, body)
        except AmbidexError as error:
            return self._problem(request, error, path, reader)
        except Exception as error:  # one page that fails must not look like a dead server
            bug = InternalError("internal.bug", f"this page failed: {type(error).__name__}", do="ambidex doctor")
            self._desk.report(error)
            return self._problem(request, bug, path, reader)

    def _serve(
        self, request: Request, path: _Path, route: Route, words: Mapping[str, str], reader: Reader | None, body: bytes
    ) -> Response:
        form = (
            dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=20)) if body else {}
        )
        if route.method == "POST" and path.plain == "/sign-in":
            return self._sign_in(request, form)
        if reader is None and route.action is not None:
            if path.form == "html" and request.method in ("GET", "HEAD") and "authorization" not in request.headers:
                return RedirectResponse("/sign-in?" + urlencode({"to": path.with_query(request)}), 303)
            raise Denied("http.no-token", "this page asks for a token", do="send Authorization: Bearer amb_…")
        name = words.get("name")
        if name is not None and not NAME.fullmatch(name):
            raise NotFound("data.no-model", f"there is no model {name[:80]!r}", do="/models")
        if route.action is not None:
            assert reader is not None
            if not reader.may(route.action, name) or (route.whole and reader.models):
                scope = f", for {', '.join(reader.models)}" if reader.models else ""
                raise Denied(
                    "http.forbidden",
                    f"a {reader.role}'s token{scope} does not allow this",
                    found=f"asked for: {route.action}",
                    do="ask an admin: ambidex token new --role engineer",
                )
        if route.method == "POST":
            if reader is None:
                raise Denied("http.no-token", "this asks for a token")
            self._guard.check_form(reader, request.headers, form)
            if path.plain == "/sign-out":
                self._guard.sign_out(reader.session)
                response: Response = RedirectResponse("/sign-in", 303)
                response.delete_cookie(COOKIE, path="/")
                return response
        fresh = ""
        if reader is not None and not reader.session and not reader.name and "authorization" not in request.headers:
            fresh = self._guard.local_session()
            reader = Reader(reader.name, reader.role, reader.models, fresh)
        look = self._look(request, words, reader)
        with self._acting_as(reader.name) if reader is not None and reader.name else nullcontext():
            found = route.answer(Call(path.plain, look, words, form, reader or Reader("", "")))
        response = self._written(request, path, look, found, reader)
        if fresh:
            _set_cookie(response, fresh, request)
        return response

    def _look(self, request: Request, words: Mapping[str, str], reader: Reader | None) -> Look:
        query = {k: v[:LONGEST] for k, v in request.query_params.items()}
        if "name" in words and "model" not in query:
            query["model"] = words["name"]
        house = self._desk.house()
        scoped = reader.models if reader is not None else ()

        def may(action: str) -> bool:
            if reader is None:
                return False
            return not reader.models if action == "whole" else reader.may(action)

        look = Look(house=house, query=query, now=house.clock(), may=may, desk=self._desk, only=scoped)
        if self._desk.trouble is not None:
            error = self._desk.trouble
            look.troubles.append({"what": "ambidex.toml", "code": error.code, "message": error.message, "do": error.do})
        return look

    def _written(self, request: Request, path: _Path, look: Look, found: Found, reader: Reader | None) -> Response:
        form = path.form
        if (
            form == "html"
            and request.method == "POST"
            and "text/html" not in request.headers.get("accept", "text/html")
        ):
            form = "json"
        if form == "csv":
            if found.rows is None:
                raise NotFound("http.not-found", "this page has no table", do=path.plain)
            text = render.csv_text(found.rows)
        elif form == "json":
            text = render.json_text(found.title, {**found.data, "troubles": look.troubles})
        elif found.template == "report":
            text = report_html(look, int(found.data["answer"].partition("/")[2]))
        else:
            text = self._html(request, path, look, found, reader)
        headers = {"Cache-Control": "no-store"} if request.method == "POST" else {"Cache-Control": "private, no-cache"}
        if form == "html" and found.template == "report":
            headers["Content-Security-Policy"] = _report_policy(text)
        if form == "csv":
            name = re.sub(r"[^a-z0-9_-]+", "-", path.plain.strip("/") or "overview")
            headers["Content-Disposition"] = f'attachment; filename="{name}.csv"'
        body = text.encode()
        tag = f'"{hashlib.sha256(body).hexdigest()[:20]}"'
        headers["ETag"] = tag
        if request.method in ("GET", "HEAD") and found.status == 200 and request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(body, found.status, headers, TYPES[form])

    def _html(self, request: Request, path: _Path, look: Look | None, found: Found, reader: Reader | None) -> str:
        query = {
            k: v for k, v in (look.query if look else {}).items() if k != "model" or "model" in request.query_params
        }
        around = {
            "title": found.title,
            "page": found.page,
            "pages": PAGES,
            "version": __version__,
            "workspace": self._desk.house().name if reader is not None else "",
            "reader": reader,
            "signed": reader is not None,
            "ticket": self._guard.ticket(reader.session) if reader and reader.session else "",
            "fragment": request.headers.get("x-fragment") == "1",
            "query": query,
            "link": render.link_to(path.plain, query),
            "qs": f"?{urlencode(query)}" if query else "",
            "may": look.may if look else (lambda action: False),
            "troubles": look.troubles if look is not None and found.page != "Overview" else [],
            "may_whole": look.may("whole") if look else False,
        }
        return render.html(found.template, found.data, now=self._desk.house().clock(), **around)

    def _problem(self, request: Request, error: AmbidexError, path: _Path, reader: Reader | None) -> Response:
        """An error in the form that was asked for: a page, or problem details."""
        data = error.to_dict()
        status = error.http_status if not (isinstance(error, Denied) and error.code == "http.no-token") else 401
        if path.form == "html" and "text/html" in request.headers.get("accept", "text/html"):
            text = self._html(request, path, None, Found("message", "Not done", data, status=status), reader)
            response = Response(text, status, media_type=TYPES["html"])
        else:
            problem = {"type": f"about:blank#{error.code}", "title": error.message, "status": status, **data}
            response = Response(_json(problem), status, media_type="application/problem+json")
        response.headers["Cache-Control"] = "no-store"
        if status == 401:
            response.headers["WWW-Authenticate"] = "Bearer"
        return response

    def _sign_in(self, request: Request, form: Mapping[str, str]) -> Response:
        origin = request.headers.get("origin")
        if origin is not None and not origin.lower().endswith("//" + request.headers.get("host", "").lower()):
            raise Denied("http.origin", "the request comes from another page", found=origin[:80])
        session = self._guard.sign_in(form.get("token", ""))
        to = inside(form.get("to", "/"))
        if session is None:
            found = Found("signin", "Sign in", {"wrong": True, "to": to}, status=401)
            return Response(
                self._html(request, _Path("/sign-in"), None, found, None),
                401,
                {"Cache-Control": "no-store"},
                TYPES["html"],
            )
        response = RedirectResponse(to, 303)
        _set_cookie(response, session, request)
        return response


class _Path:
    """A path and the form that it asks for."""

    def __init__(self, raw: str) -> None:
        self.form = next(
            (f for f in ("json", "csv") if raw.endswith(f".{f}") and not raw.startswith("/assets/")), "html"
        )
        self.plain = raw if self.form == "html" else raw[: -len(self.form) - 1]

    def with_query(self, request: Request) -> str:
        """The address to come back to."""
        return self.plain + (f"?{request.url.query}" if request.url.query else "")


_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def _find(path: _Path, method: str) -> tuple[Route, dict[str, str]]:
    wanted = "GET" if method == "HEAD" else method
    other = False
    for route in ROUTES:
        match = route.path.fullmatch(path.plain)
        if match is None:
            continue
        if route.method == wanted:
            return route, {k: v for k, v in match.groupdict().items() if v is not None}
        other = True
    if other:
        raise UsageError("http.method", f"this page does not take {method[:20]}", status=405)
    near = did_you_mean(path.plain[:60], [p for p, _ in PAGES])
    raise NotFound("http.not-found", f"there is no page {path.plain[:80]}{near}", found=", ".join(p for p, _ in PAGES))


async def _body(request: Request) -> bytes:
    """The body of a form, never more than a form needs."""
    if request.method in ("GET", "HEAD"):
        return b""
    kind = request.headers.get("content-type", "application/x-www-form-urlencoded").partition(";")[0].strip().lower()
    read = bytearray()
    async for part in request.stream():
        read += part
        if len(read) > MOST_BODY:
            raise UsageError("http.too-large", f"a form has at most {MOST_BODY:,} bytes", status=413)
    if read and kind != "application/x-www-form-urlencoded":
        raise UsageError("http.media-type", "forms come as application/x-www-form-urlencoded", status=415)
    return bytes(read)


def _asset(name: str) -> Response:
    if name not in render.ASSETS:
        raise NotFound("http.not-found", f"there is no file {name[:60]}")
    return Response(
        render.asset(name),
        media_type=render.ASSETS[name],
        headers={"Cache-Control": "public, max-age=31536000, immutable"},
    )


def _report_policy(text: str) -> str:
    """The policy that a report carries in itself, and that nobody may frame it."""
    found = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    return f"{found[1]}; frame-ancestors 'none'" if found else POLICY


def _set_cookie(response: Response, session: str, request: Request) -> None:
    response.set_cookie(
        COOKIE, session, path="/", httponly=True, samesite="strict", secure=request.url.scheme == "https"
    )


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
