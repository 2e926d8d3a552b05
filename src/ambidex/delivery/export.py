"""A version in other people's forms: an MLflow model folder, a Dockerfile with its compose file."""

from __future__ import annotations

import json
import shutil
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ambidex.bundle.compiled import TREES
from ambidex.bundle.open import OpenBundle
from ambidex.errors import DataError, EnvironmentProblem, UsageError
from ambidex.records import canonical
from ambidex.version import __version__

__all__ = ["TO", "needs", "new_folder", "write_docker", "write_mlflow"]

TO = ("mlflow", "docker", "onnx")
_GOMP = "apt-get update && apt-get install -y --no-install-recommends libgomp1 \\\n                && "
"""LightGBM's wheel needs the OpenMP runtime of the system, which slim images lack."""
_EXTRAS = {"scikit-learn": "sklearn", "lightgbm": "lightgbm", "onnxruntime": "onnx"}


def new_folder(out: str | Path) -> Path:
    """The folder that an export is written to: a new one, or an empty one.

    Raises:
        UsageError: ``usage.value`` if something is there.
        DataError: ``data.no-out-folder``.
    """
    folder = Path(out)
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise UsageError("usage.value", f"{folder} is not empty", where="--out", do="--out a new folder")
    if not folder.absolute().parent.is_dir():
        raise DataError("data.no-out-folder", f"the folder {folder.parent} does not exist", where="--out")
    return folder


def needs(opened: OpenBundle) -> list[str]:
    """What ``pip install`` takes so that the version runs: ambidex with the extras, and what is beyond them."""
    runtime = json.loads(opened.files["model.json"]).get("runtime", [])
    extras = sorted({_EXTRAS[r] for r in runtime if r in _EXTRAS} | ({"lightgbm"} if _trees(opened) else set()))
    program = f"ambidex[{','.join(extras)}]=={__version__}" if extras else f"ambidex=={__version__}"
    return [
        program,
        *sorted(r for r in runtime if r not in _EXTRAS),
        *(["pandas"] if "scikit-learn" in runtime else []),
    ]


def _trees(opened: OpenBundle) -> bool:
    """Whether its compiled form is executed by LightGBM's library."""
    return TREES in opened.files


def write_docker(opened: OpenBundle, name: str, number: int, folder: Path) -> list[Path]:
    """A Dockerfile that serves the model from a mounted workspace, and a compose file that runs it.

    The workspace is mounted, not copied: a promotion or a rollback there reaches the running server.
    """
    installs = " ".join(f"'{need}'" for need in needs(opened))
    lightgbm = any("lightgbm" in need for need in needs(opened))
    system = _GOMP if lightgbm else ""
    texts = {
        "Dockerfile": textwrap.dedent(f"""\
            # Serves {name}; made from {name}@{number}, bundle {opened.digest[:12]}.
            # Callers need a token of the mounted workspace: ambidex token new NAME --role caller
            FROM python:3.13-slim
            RUN {system}pip install --no-cache-dir {installs} \\
                && useradd --create-home --uid 10001 ambidex
            USER ambidex
            WORKDIR /workspace
            EXPOSE 8377
            HEALTHCHECK --interval=10s --timeout=3s --start-period=60s CMD python -c "import urllib.request as u; \\
                u.urlopen('http://127.0.0.1:8377/v2/health/ready', timeout=2)"
            CMD ["ambidex", "serve", "{name}", "--host", "0.0.0.0", "--port", "8377"]
            """),
        "compose.yaml": textwrap.dedent(f"""\
            services:
              {name}:
                build: .
                ports:
                  - "8377:8377"
                volumes:
                  - "${{WORKSPACE:?say where the workspace lies}}:/workspace"
                restart: unless-stopped
                read_only: true
                tmpfs:
                  - /tmp
                security_opt:
                  - no-new-privileges:true
            """),
        ".dockerignore": "*\n",
    }
    return _written(folder, {path: text.encode() for path, text in texts.items()})


def write_mlflow(opened: OpenBundle, name: str, number: int, folder: Path, *, at: str) -> list[Path]:
    """An MLflow model folder of the flavor ``python_function``: its dataframe in, probabilities or values out.

    It is also what ``package FOLDER`` reads back: the sealed files lie in ``data/bundle`` with their manifest.
    """
    schema = opened.schema
    inputs = [
        {"type": {"float": "double", "integer": "long", "category": "string"}[c.type], "name": c.name,
         "required": not c.nullable}
        for c in schema.columns
    ]  # fmt: skip
    loader = f"{name.replace('-', '_')}_mlflow"
    requirements = needs(opened)
    lines = [
        "artifact_path: model",
        "flavors:",
        "  ambidex:",
        "    bundle: data/bundle",
        f"    digest: {opened.digest}",
        f"    version: {name}@{number}",
        "  python_function:",
        "    code: code",
        "    data: data",
        "    env:",
        "      conda: conda.yaml",
        "      virtualenv: python_env.yaml",
        f"    loader_module: {loader}",
        "    python_version: 3.13.0",
        "mlflow_version: 2.22.0",
        f"model_uuid: {opened.digest[:32]}",
        "signature:",
        f"  inputs: '{_quoted(inputs)}'",
        f"  outputs: '{_quoted([{'type': 'double', 'name': 'prediction', 'required': True}])}'",
        "  params: null",
        f"utc_time_created: '{at.replace('T', ' ').removesuffix('Z')}'",
        "",
    ]
    pip = "\n".join(f"  - {r}" for r in requirements)
    files: dict[str, bytes] = {
        "MLmodel": "\n".join(lines).encode(),
        "requirements.txt": ("\n".join(requirements) + "\n").encode(),
        "python_env.yaml": f"python: 3.13.0\nbuild_dependencies:\n  - pip\ndependencies:\n{pip}\n".encode(),
        "conda.yaml": (
            "channels:\n  - conda-forge\ndependencies:\n  - python=3.13\n  - pip\n  - pip:\n"
            + "\n".join(f"    - {r}" for r in requirements) + "\nname: mlflow-env\n"
        ).encode(),
        f"code/{loader}.py": _LOADER.encode(),
        "data/bundle/manifest.json": canonical(dict(opened.manifest)),
        **{f"data/bundle/{path}": data for path, data in opened.files.items()},
    }  # fmt: skip
    return _written(folder, files)


def _quoted(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False).replace("'", "''")


def _written(folder: Path, files: Mapping[str, bytes]) -> list[Path]:
    there = folder.is_dir()
    try:
        for path, data in files.items():
            place = folder / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
    except OSError as error:
        if not there:
            shutil.rmtree(folder, ignore_errors=True)
        raise EnvironmentProblem("env.disk", f"cannot write {folder}: {error.strerror or error}") from error
    return [folder / path for path in files]


_LOADER = '''\
"""MLflow's way into a model of ambidex: ``_load_pyfunc`` of the folder's data."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any


class Model:
    """Predicts for each row of a dataframe."""

    def __init__(self, scorer: Any) -> None:
        self.scorer = scorer

    def predict(self, model_input: Any, params: Any = None) -> Any:
        """A number a row: the probability of the positive class, or the value."""
        rows = model_input.to_dict("records") if hasattr(model_input, "to_dict") else list(model_input)
        return [self.scorer.score({name: _plain(row.get(name)) for name in self.scorer.schema.names}) for row in rows]


def _plain(value: Any) -> Any:
    value = value.item() if hasattr(value, "item") else value
    return None if value is None or value != value else value


def _load_pyfunc(path: str) -> Model:
    from ambidex.bundle.open import load_scorer

    folder = Path(path) / "bundle"
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    files = {}
    for name, entry in manifest["files"].items():
        files[name] = (folder / name).read_bytes()
        if hashlib.sha256(files[name]).hexdigest() != entry["sha256"]:
            raise ValueError(f"{name} is not what was sealed")
    return Model(load_scorer(json.loads(files["model.json"]), files))
'''
