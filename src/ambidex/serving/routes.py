"""Every route of the server: its path, its methods, and what a caller must be allowed for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import unquote

__all__ = ["ROUTES", "Place", "Route", "find"]


@dataclass(frozen=True, slots=True)
class Route:
    """A route.

    Attributes:
        name: Of its handler.
        path: With ``{model}`` and the like where a caller's word stands.
        methods: That it takes, beside OPTIONS; HEAD comes with GET.
        action: What a caller does there (``access.ACTIONS``); None: open to all.
    """

    name: str
    path: str
    methods: tuple[str, ...]
    action: str | None

    @property
    def parts(self) -> tuple[str, ...]:
        """Of its path."""
        return tuple(self.path[1:].split("/"))


GET = ("GET", "HEAD")
POST = ("POST",)
_MODEL = "/v2/models/{model}"
_VERSION = "/v2/models/{model}/versions/{version}"

ROUTES = (
    Route("predict", "/predict/{model}", POST, "predict"),
    Route("feedback", "/feedback/{model}", POST, "label"),
    Route("live", "/v2/health/live", GET, None),
    Route("ready", "/v2/health/ready", GET, None),
    Route("v2_server", "/v2", GET, "describe"),
    Route("v2_model", _MODEL, GET, "describe"),
    Route("v2_model", _VERSION, GET, "describe"),
    Route("v2_ready", f"{_MODEL}/ready", GET, "describe"),
    Route("v2_ready", f"{_VERSION}/ready", GET, "describe"),
    Route("v2_infer", f"{_MODEL}/infer", POST, "predict"),
    Route("v2_infer", f"{_VERSION}/infer", POST, "predict"),
    Route("metrics", "/metrics", GET, "read"),
    Route("openapi", "/openapi.json", GET, "describe"),
    Route("docs", "/docs", GET, "describe"),
    Route("docs", "/docs/{file}", GET, "describe"),
    Route("root", "/", GET, "describe"),
)

_BY_LENGTH: dict[int, list[tuple[tuple[str, ...], Route]]] = {}
for _route in ROUTES:
    _BY_LENGTH.setdefault(len(_route.parts), []).append((_route.parts, _route))


class Place(NamedTuple):
    """Where a request goes.

    Attributes:
        route: Its route.
        model: The model it names, without ``@REF``; empty if none.
        ref: Version or pointer it names; empty: live.
        file: The file it names; empty if none.
    """

    route: Route
    model: str = ""
    ref: str = ""
    file: str = ""


def find(path: str) -> Place | None:
    """The route of a path, or None.

    >>> find("/predict/churn@7")[1:3], find("/v2/models/churn/versions/3/infer")[1:3], find("/predict/a%2f../b")
    (('churn', '7'), ('churn', '3'), None)
    """
    parts = path[1:].split("/") if path.startswith("/") else ()
    for pattern, route in _BY_LENGTH.get(len(parts), ()):
        words: dict[str, str] = {}
        for want, got in zip(pattern, parts, strict=True):
            if want.startswith("{") and got:
                words[want[1:-1]] = unquote(got)
            elif want != got:
                break
        else:
            model, at, ref = words.get("model", "").partition("@")
            if "version" in words:
                model, ref = words["model"], words["version"]
            elif at and not ref:
                model = words["model"]  # `churn@`: no name of a model
            return Place(route, model, ref, words.get("file", ""))
    return None
