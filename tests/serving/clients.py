"""Talks to a server with NVIDIA's own client; run by an interpreter that has it: ``clients.py HOST:PORT``."""

from __future__ import annotations

import json
import sys

import numpy as np
import tritonclient.http as triton


def inputs(binary: bool, rows: int = 2) -> list[triton.InferInput]:
    columns = {
        "age": ("FP64", np.array([41.5, 90.0])), "income": ("FP32", np.array([1.0, 2.0], np.float32)),
        "n": ("INT32", np.array([3, 4], np.int32)), "plan": ("BYTES", np.array(["basic", "plus"], object)),
    }  # fmt: skip
    made = []
    for name, (kind, values) in columns.items():
        values = values[:rows].reshape(-1, 1) if binary else values[:rows]
        made.append(triton.InferInput(name, list(values.shape), kind))
        made[-1].set_data_from_numpy(values, binary_data=binary)
    return made


def main(address: str) -> None:
    client = triton.InferenceServerClient(address)
    said: dict[str, object] = {
        "live": client.is_server_live(), "ready": client.is_server_ready(),
        "model_ready": client.is_model_ready("churn"), "version_ready": client.is_model_ready("churn", "1"),
        "other_ready": client.is_model_ready("nobody"),
        "server": client.get_server_metadata(), "model": client.get_model_metadata("churn"),
    }  # fmt: skip
    for binary in (True, False):
        answer = client.infer("churn", inputs(binary), request_id="7")
        packed = client.infer(
            "churn", inputs(binary), model_version="1",
            request_compression_algorithm="gzip", response_compression_algorithm="gzip",
            outputs=[triton.InferRequestedOutput("probabilities", binary_data=binary)],
        )  # fmt: skip
        said[f"binary {binary}"] = {
            "predictions": [v if isinstance(v, str) else v.decode() for v in answer.as_numpy("predictions")],
            "probabilities": answer.as_numpy("probabilities").tolist(),
            "shape": list(answer.as_numpy("probabilities").shape),
            "ids": len(answer.as_numpy("ids")), "id": answer.get_response()["id"],
            "version": answer.get_response()["model_version"],
            "packed": packed.as_numpy("probabilities").tolist(),
            "packed outputs": [o["name"] for o in packed.get_response()["outputs"]],
        }  # fmt: skip
    for name, version, rows in (("churn", "999", inputs(True)), ("nobody", "", inputs(True)), ("churn", "", [])):
        try:
            client.infer(name, rows, model_version=version)
        except triton.InferenceServerException as error:
            said[f"{name} {version} {len(rows)}"] = [error.status(), error.message()]
    print(json.dumps(said))


if __name__ == "__main__":
    main(sys.argv[1])
