"""The peers' servers, each written as its own documentation shows it: ``python peers.py NAME PORT FOLDER``.

They run in an environment of their own (``run.py`` makes it) and load the pipeline from ``FOLDER/pipe.joblib``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import joblib
import pandas as pd


def fastapi(folder: Path, port: int) -> None:
    """FastAPI and uvicorn, a pydantic model, ``predict_proba`` on a frame."""
    import uvicorn
    from fastapi import FastAPI
    from pydantic import create_model

    pipe, names = loaded(folder)
    fields: dict[str, Any] = {n: (float | None if n[0] == "x" else str | None, None) for n in names}
    row = create_model("Row", **fields)
    rows = create_model("Rows", rows=(list[row], ...))
    app = FastAPI()

    @app.post("/predict/task")
    def predict(body: rows) -> dict[str, Any]:  # type: ignore[valid-type]
        frame = pd.DataFrame([r.model_dump() for r in body.rows], columns=names)
        return answer(pipe, frame)

    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error", access_log=False)


def litserve(folder: Path, port: int) -> None:
    """LitServe, as its page shows it."""
    import litserve

    class Api(litserve.LitAPI):  # type: ignore[misc]
        def setup(self, device: Any) -> None:
            self.pipe, self.names = loaded(folder)

        def decode_request(self, request: Any) -> Any:
            return pd.DataFrame(request["rows"], columns=self.names)

        def predict(self, frame: Any) -> Any:
            return answer(self.pipe, frame)

        def encode_response(self, output: Any) -> Any:
            return output

    litserve.LitServer(Api(api_path="/predict/task"), accelerator="cpu").run(
        port=port, host="127.0.0.1", log_level="error", generate_client_file=False
    )


def loaded(folder: Path) -> tuple[Any, list[str]]:
    """The pipeline and its columns."""
    pipe = joblib.load(folder / "pipe.joblib")
    return pipe, list(pipe.feature_names_in_)


def answer(pipe: Any, frame: Any) -> dict[str, Any]:
    """Classes and probabilities."""
    p = pipe.predict_proba(frame).tolist()
    return {"predictions": ["yes" if b >= 0.5 else "no" for _, b in p], "probabilities": p}


if __name__ == "__main__":
    globals()[sys.argv[1]](Path(sys.argv[3]), int(sys.argv[2]))
