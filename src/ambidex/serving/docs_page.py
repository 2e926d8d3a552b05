"""``/docs``: what ``/openapi.json`` says, to be read and tried. Files of this package only, under a strict policy."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cache
from html import escape
from importlib import resources
from typing import Any

from ambidex.errors import CODES
from ambidex.records import Column
from ambidex.report.ink import colour_rules
from ambidex.serving.decode import ROWS
from ambidex.serving.loader import Served
from ambidex.serving.messages import Answer
from ambidex.serving.openapi import answer_example
from ambidex.serving.v2 import inputs_of
from ambidex.version import __version__

__all__ = ["FILES", "asset", "page"]

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
)
_SAFE = {
    "Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}  # fmt: skip
FILES = {"docs.css": b"text/css; charset=utf-8", "docs.js": b"text/javascript; charset=utf-8"}
SHOWN = 12
"""Categories that the table names."""
REFUSALS = (
    (400, "http.json"), (400, "http.tensor"), (401, "http.no-token"), (403, "http.forbidden"), (404, "data.no-model"),
    (413, "http.too-many-rows"), (415, "http.media-type"), (422, "http.column-missing"), (422, "http.type"),
    (422, "http.range"), (422, "data.null"), (429, "http.rate"), (503, "http.overload"), (504, "http.deadline"),
)  # fmt: skip


@cache
def asset(name: str) -> Answer | None:
    """A file of the page, or None."""
    if name not in FILES:
        return None
    text = (resources.files("ambidex.serving") / "assets" / name).read_text(encoding="utf-8")
    if name == "docs.css":
        colours = colour_rules(":root", "@media screen and (prefers-color-scheme:dark){:root{%s}}")
        text = f"{colours}\n:root{{color-scheme:light dark}}\n{text}"
    return Answer(200, text.encode(), FILES[name], _SAFE)


def page(served: Iterable[Served], *, closed: bool, host: str) -> Answer:
    """The page.

    Args:
        served: The live versions.
        closed: Whether callers need a token.
        host: As the caller named this server, for the commands.
    """
    models = sorted(served, key=lambda s: s.model)
    links = "".join(f'<a href="#{escape(s.model)}">{escape(s.ref)}</a>' for s in models)
    token = (
        "<p>Every request needs a token: <code>Authorization: Bearer amb_…</code>, made by "
        "<code>ambidex token new NAME --role caller</code>.</p>"
        if closed
        else ""
    )
    body = (
        f"<h1>Predictions over HTTP</h1><p>ambidex {__version__}. The same as "
        f'<a href="/openapi.json">/openapi.json</a>, to be read and tried.</p>{token}<nav>{links}'
        '<a href="#protocol">Open Inference Protocol</a><a href="#refusals">Refusals</a></nav>'
        + "".join(_model(s, closed, host) for s in models)
        + _protocol(models, closed, host)
        + _refusals()
    )
    html = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Predictions over HTTP</title>'
        '<meta name="viewport" content="width=device-width,initial-scale=1"><link rel="icon" href="data:,">'
        '<link rel="stylesheet" href="/docs/docs.css"><script src="/docs/docs.js" defer></script>'
        f"<main>{body}</main></html>"
    )
    return Answer(200, html.encode(), b"text/html; charset=utf-8", _SAFE)


def _model(one: Served, closed: bool, host: str) -> str:
    name = escape(one.model)
    rows = {"rows": [dict(one.example)]}
    riders = [
        f"<tr><td><code>{escape(r)}</code><td>text or number<td>may be left out<td>rides along: logged, never scored"
        for r in one.schema.riders
        if r not in one.schema.names
    ]
    columns = "".join([*map(_row, one.schema.columns), *riders])
    field = '<label>Token <input name="token" autocomplete="off"></label>' if closed else ""
    return (
        f'<section id="{name}"><h2>{escape(one.ref)}</h2>'
        f'<p class="road"><span class="verb">POST</span> <code>/predict/{name}</code></p>'
        f"<p>{_what(one)} Up to {ROWS:,} rows a request, all or none. <code>/predict/{name}@7</code> and "
        f"<code>/predict/{name}@staging</code> ask another version.</p>"
        f'<div class="scroll" tabindex="0" role="group" aria-label="Columns of {name}"><table><thead><tr><th>Column'
        f"<th>Type<th>Missing<th>Values</thead><tbody>{columns}</tbody></table></div>"
        f"<h3>Request</h3>{_pre(_curl(host, f'/predict/{one.model}', rows, closed))}"
        f"<h3>Answer</h3>{_pre(_lines(answer_example(one)))}"
        f'<details><summary>Try it</summary><form data-path="/predict/{name}">{field}<label>Body <textarea '
        f'spellcheck="false">{escape(_lines(rows))}</textarea></label>'
        "<button>Send</button><output hidden><pre></pre></output></form></details>"
        f"{_feedback(one, closed, host)}</section>"
    )


def _feedback(one: Served, closed: bool, host: str) -> str:
    if one.schema.task == "segments":  # no label says which segment is right
        return ""
    label = one.schema.classes[-1] if one.schema.classes else 0.5
    labels = {"labels": [{"id": answer_example(one)["ids"][0], "label": label}]}
    return (
        '<h3>What became of it</h3><p class="road"><span class="verb">POST</span> '
        f"<code>/feedback/{escape(one.model)}</code></p>"
        "<p>With the ids of an answer. Sent again with the same <code>Idempotency-Key</code> within 24 h, it is "
        f"answered as before and not done again.</p>{_pre(_curl(host, f'/feedback/{one.model}', labels, closed))}"
    )


def _what(one: Served) -> str:
    target = escape(one.schema.target)
    match one.schema.task:
        case "regression":
            return f"Predicts the number <code>{target}</code>."
        case "segments":
            return "Names the segment of each row."
        case _:
            classes = ", ".join(f"<code>{escape(c)}</code>" for c in one.schema.classes[:SHOWN])
            return f"Predicts <code>{target}</code>: {classes}."


def _row(column: Column) -> str:
    kind = {"float": "number", "integer": "whole number", "category": "text"}[column.type]
    said = ""
    if column.type == "category":
        said = ", ".join(f"<code>{escape(v)}</code>" for v in column.levels[:SHOWN])
        said += ", …" if len(column.levels) > SHOWN else ""
        said += "; another text is scored as other" if said else "any"
    elif column.low is not None or column.high is not None:
        said = f"{_bound(column.low)} to {_bound(column.high)}"
    null = "<code>null</code>" if column.nullable else "never"
    return f"<tr><td><code>{escape(column.name)}</code><td>{kind}<td>{null}<td>{said or 'any'}"


def _bound(value: float | None) -> str:
    return "any" if value is None else f"{value:g}".replace("-", "−")


def _protocol(models: list[Served], closed: bool, host: str) -> str:
    example = ""
    if models:
        one = models[0]
        inputs = [
            {"name": i["name"], "shape": [1], "datatype": i["datatype"], "data": [one.example.get(i["name"])]}
            for i in inputs_of(one.schema)
        ]
        example = _pre(_curl(host, f"/v2/models/{one.model}/infer", {"inputs": inputs}, closed))
    roads = "".join(
        f'<p class="road"><span class="verb">{verb}</span> <code>{path}</code></p>'
        for verb, path in (
            ("GET", "/v2"), ("GET", "/v2/health/live, /v2/health/ready"),
            ("GET", "/v2/models/NAME, /v2/models/NAME/versions/7"), ("GET", "/v2/models/NAME/ready"),
            ("POST", "/v2/models/NAME/infer"), ("GET", "/metrics"),
        )
    )  # fmt: skip
    return (
        '<section id="protocol"><h2>Open Inference Protocol, version 2</h2><p>One input a column, of shape [n] or '
        "[n, 1]. Outputs are predictions, probabilities and ids; the binary extension is spoken.</p>"
        f"{roads}<h3>Request</h3>{example}</section>"
    )


def _refusals() -> str:
    lines = "".join(f"<tr><td>{status}<td><code>{code}</code><td>{_quoted(CODES[code])}" for status, code in REFUSALS)
    return (
        '<section id="refusals"><h2>Refusals</h2><p>A problem document (RFC 9457) with a stable code, the row and the '
        "column; below /v2 also <code>error</code>. <code>ambidex help CODE</code> explains each.</p>"
        '<div class="scroll" tabindex="0" role="group" aria-label="Refusals"><table><thead><tr><th>Status<th>Code'
        f"<th>Meaning</thead><tbody>{lines}</tbody></table></div></section>"
    )


def _curl(host: str, path: str, body: Mapping[str, Any], closed: bool) -> str:
    said = json.dumps(body, ensure_ascii=False).replace("'", "'\\''")
    token = "-H 'Authorization: Bearer amb_…' " if closed else ""
    return f"curl http://{host}{path} {token}\\\n  -H 'Content-Type: application/json' \\\n  -d '{said}'"


def _lines(said: Mapping[str, Any]) -> str:
    """JSON, a member a line."""
    members = [f"  {json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in said.items()]
    return "{\n" + ",\n".join(members) + "\n}"


def _quoted(text: str) -> str:
    """A sentence with its commands as code.

    >>> _quoted("see `ambidex help`, <b>")
    'see <code>ambidex help</code>, &lt;b&gt;'
    """
    parts = text.split("`")
    return "".join(f"<code>{escape(p)}</code>" if i % 2 else escape(p) for i, p in enumerate(parts))


def _pre(text: str) -> str:
    return f'<pre tabindex="0">{escape(text)}</pre>'
