"""Every route of the dashboard in one table: path, method, what a reader must be allowed to do, who answers."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from ambidex.errors import NotFound
from ambidex.records import ModelState
from ambidex.ui import acting
from ambidex.ui.drift import drift_page
from ambidex.ui.guard import Reader
from ambidex.ui.insights import answer_document, insights_page
from ambidex.ui.investigate import investigate_page
from ambidex.ui.looking import Look
from ambidex.ui.models import model_page, models_page, version_page
from ambidex.ui.overview import next_step, overview_page
from ambidex.ui.serving import serving_page

__all__ = ["ROUTES", "Call", "Found", "Route", "inside", "nothing"]

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Found:
    """What a handler gives: a template with its data, the rows of its CSV, the status."""

    template: str
    title: str
    data: Row
    rows: list[Row] | None = None
    page: str = ""
    status: int = 200


@dataclass(frozen=True, slots=True)
class Call:
    """A request that was let in."""

    path: str
    look: Look
    words: Mapping[str, str]
    form: Mapping[str, str]
    reader: Reader

    def model(self) -> ModelState:
        """The model that the path names. Raises NotFound ``data.no-model``."""
        return self.look.house.store.model(self.words["name"])


@dataclass(frozen=True, slots=True)
class Route:
    """One route.

    Attributes:
        path: Pattern of the whole path, without ``.json`` or ``.csv``.
        method: GET or POST.
        action: Of ``access.ACTIONS``; None for what everybody may see: the way in.
        answer: Makes the page.
        whole: It shows the workspace as a whole: not for a token of some models.
    """

    path: re.Pattern[str]
    method: str
    action: str | None
    answer: Callable[[Call], Found]
    whole: bool = False


def _overview(call: Call) -> Found:
    data = overview_page(call.look)
    rows = [{k: n.get(k) for k in ("level", "model", "title", "text")} for n in data["needs"]]
    rows += [
        {
            "level": t["tone"],
            "model": data["model"],
            "title": t["name"],
            "text": f"{t['value']} {t['unit']} {t['word']}",
        }
        for t in data["tiles"]
    ]
    return Found("overview", "Overview", data, rows, "Overview")


def _insights(call: Call) -> Found:
    data = insights_page(call.look)
    return Found("insights", "Insights", data, data["answers"], "Insights")


def _answer(call: Call) -> Found:
    document = answer_document(call.look, int(call.words["number"]))
    return Found("report", str(document["answer"]), document, document.get("estimates") or [], "Insights")


def _models(call: Call) -> Found:
    data = models_page(call.look)
    return Found("models", "Models", data, data["models"], "Models")


def _model(call: Call) -> Found:
    data = model_page(call.look, call.model())
    return Found("model", str(data["model"]), data, data["versions"], "Models")


def _version(call: Call) -> Found:
    data = version_page(call.look, call.model(), int(call.words["number"]))
    return Found("version", f"{data['model']}@{data['version']}", data, data["gates"], "Models")


def _serving(call: Call) -> Found:
    data = serving_page(call.look)
    return Found("serving", "Serving", data, (data["time"] or {}).get("rows") or [], "Serving")


def _drift(call: Call) -> Found:
    data = drift_page(call.look)
    rows = [{k: c[k] for k in ("name", "state", "size", "low", "high", "margin", "what")} for c in data["columns"]]
    return Found("drift", "Drift", data, rows, "Drift")


def _next(call: Call) -> Found:
    data = {"next": next_step(call.look)}
    rows = data["next"]["signals"] if data["next"] else []
    return Found("next", "Next step", data, rows, "Next step")


def _investigate(call: Call) -> Found:
    data = investigate_page(call.look, call.model())
    rows = [{"what": k, "value": v} for k, v in (data["found"] or {}).get("facts", ())] or data["log"]
    return Found("investigate", f"Investigate {data['model']}", data, rows)


def _ask(kind: str) -> Callable[[Call], Found]:
    def answer(call: Call) -> Found:
        number = int(call.words["number"]) if "number" in call.words else None
        data = acting.ask(call.look, kind, call.model(), number=number, alert=call.words.get("alert"))
        return Found("confirm", data["title"], data, page="Models")

    return answer


def _act(kind: str) -> Callable[[Call], Found]:
    def answer(call: Call) -> Found:
        number = int(call.words["number"]) if "number" in call.words else None
        state = call.model()
        data, error = acting.act(call.look, kind, state, call.form, number=number, alert=call.words.get("alert"))
        data["back"] = call.path
        return Found("confirm", data["title"], data, page="Models", status=200 if error is None else error.http_status)

    return answer


def _signin(call: Call) -> Found:
    return Found("signin", "Sign in", {"wrong": False, "to": inside(call.look.query.get("to", "/"))})


def nothing(call: Call) -> Found:
    raise NotFound("http.not-found", "there is no such page", do="/")


def inside(to: str) -> str:
    """An address of this server, else the first page: a sign-in sends nobody elsewhere."""
    if re.fullmatch(r"/[A-Za-z0-9_@.?=&%:+/-]*", to) and not to.startswith("//"):
        return quote(to, safe="/?=&%:+@.-_")
    return "/"


_M = r"/models/(?P<name>[^/]+)"
_N = r"/(?P<number>[0-9]{1,9})"
_A = r"/alerts/(?P<alert>[^/]+)"


def _route(
    path: str, action: str | None, answer: Callable[[Call], Found], *, method: str = "GET", whole: bool = False
) -> Route:
    return Route(re.compile(path), method, action, answer, whole)


ROUTES: tuple[Route, ...] = (
    _route(r"/(?:overview)?", "read", _overview),
    _route(r"/insights", "read", _insights, whole=True),
    _route(r"/insights" + _N, "read", _answer, whole=True),
    _route(r"/models", "read", _models),
    _route(_M, "read", _model),
    _route(_M + _N, "read", _version),
    _route(r"/serving", "read", _serving),
    _route(r"/drift", "read", _drift),
    _route(r"/drift/(?P<name>[^/]+)", "read", _drift),
    _route(r"/next", "read", _next, whole=True),
    _route(r"/investigate/(?P<name>[^/]+)", "read", _investigate),
    _route(_M + _N + r"/promote", "promote", _ask("promote")),
    _route(_M + r"/rollback", "rollback", _ask("rollback")),
    _route(_M + r"/resume", "resume", _ask("resume")),
    _route(_M + _A, "ack", _ask("alert")),
    _route(_M + _N + r"/promote", "promote", _act("promote"), method="POST"),
    _route(_M + r"/rollback", "rollback", _act("rollback"), method="POST"),
    _route(_M + r"/resume", "resume", _act("resume"), method="POST"),
    _route(_M + _A, "ack", _act("alert"), method="POST"),
    _route(r"/sign-in", None, _signin),
    _route(r"/sign-in", None, nothing, method="POST"),
    _route(r"/sign-out", None, nothing, method="POST"),
    _route(r"/health", None, nothing),
    _route(r"/assets/(?P<asset>[a-z.]+)", None, nothing),
)
