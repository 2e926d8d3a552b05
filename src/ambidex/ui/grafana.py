"""For those who have Grafana: a dashboard and Prometheus rules over the server's own ``/metrics``."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path

from ambidex.errors import DataError, EnvironmentProblem
from ambidex.report.answer import Result
from ambidex.ui.looking import House

__all__ = ["FILES", "write_grafana"]

FILES = ("ambidex-dashboard.json", "ambidex-rules.yml")


def write_grafana(folder: str | Path, house: House) -> Result:
    """Write both files into a folder; those of the same name are replaced.

    The rules carry the availability and the answer times that ambidex.toml promises.

    Raises:
        DataError: ``data.no-out-folder``.
        EnvironmentProblem: ``env.disk``.
    """
    place = Path(folder)
    if not place.parent.is_dir():
        raise DataError(
            "data.no-out-folder",
            f"no folder {place.parent} for {place.name}",
            where="--grafana",
            do=f"mkdir -p {place.parent}",
        )
    written = []
    try:
        place.mkdir(exist_ok=True)
        for name in FILES:
            text = resources.files("ambidex.ui").joinpath("assets", name).read_text(encoding="utf-8")
            if name.endswith(".yml"):
                availability = house.settings.watch.availability
                text = text.replace("99.9%", f"{100 * availability:g}%").replace("0.001", f"{1 - availability:.6g}")
                text += _limits(house)
            beside = place / f".{name}.{os.getpid()}.tmp"
            beside.write_text(text, encoding="utf-8")
            beside.replace(place / name)
            written.append(str(place / name))
    except OSError as error:
        raise EnvironmentProblem(
            "env.disk", f"{place} cannot be written: {error.strerror}", where="--grafana", do="name another folder"
        ) from error
    return Result(
        verb="ui",
        data={"files": written},
        lines=(
            ("✓", f"{written[0]}: import it in Grafana under Dashboards, New, Import"),
            ("✓", f"{written[1]}: name it under rule_files in prometheus.yml"),
        ),
    )


def _limits(house: House) -> str:
    """One rule a promised answer time."""
    lines = []
    for name, declared in house.settings.models.items():
        if (limit := declared.limits.latency_ms) is None:
            continue
        lines += [
            f"      - alert: AmbidexSlow_{name.replace('-', '_')}",
            "        expr: |",
            "          histogram_quantile(0.99, sum by (le) (rate(ambidex_request_duration_seconds_bucket"
            f'{{model="{name}"}}[5m]))) > {limit / 1000:g}',
            "        for: 5m",
            "        labels: {severity: page}",
            f'        annotations: {{summary: "{name}: 99% of the answers take longer than {limit:g} ms"}}',
        ]
    return "\n".join(lines) + ("\n" if lines else "")
