"""The child that runs cells: started by the parent with a folder of its own, told what to do line by line in JSON.

It may not open a network connection, start a program or write outside its folder, as far as Python sees it; where
the system lets it, it has no network at all. It holds no variables of the caller's environment but a few harmless.
"""

import contextlib
import ctypes
import io
import json
import os
import resource
import sys
import time
import traceback
import types

PACKAGE = "ambidex_package"


def guard(scratch, shell, memory, seconds):
    with contextlib.suppress(Exception):
        libc = ctypes.CDLL(None, use_errno=True)
        libc.unshare(0x10000000 | 0x40000000)  # a user and a network namespace of its own
    with contextlib.suppress(Exception):
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    inside = (os.path.realpath(scratch) + os.sep, "/dev/null", "/dev/shm/", "/proc/self/")

    def look(event, args):
        if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
            address = args[1] if event == "socket.connect" and len(args) > 1 else None
            if isinstance(address, (str, bytes)):
                return  # a local socket
            raise PermissionError("the notebook reaches for the network, and it has none here")
        if event in ("os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "os.spawn", "pty.spawn"):
            if not shell:
                raise PermissionError("the notebook starts a program; --allow-shell would let it")
        elif event in (
            "os.remove",
            "os.rmdir",
            "os.rename",
            "shutil.rmtree",
            "os.truncate",
            "os.chmod",
            "os.link",
            "os.symlink",
        ):
            if not shell and not os.path.realpath(os.fsdecode(args[0])).startswith(inside):
                raise PermissionError(f"the notebook changes {os.fsdecode(args[0])}, which is not its own")
        elif event == "open" and isinstance(args[0], (str, bytes)):
            flags = args[2] if isinstance(args[2], int) else 0
            mode = args[1] or ""
            writes = any(c in mode for c in "wax+") or bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC))
            path = os.path.realpath(os.fsdecode(args[0]))
            if writes and not (path + os.sep).startswith(inside) and not path.startswith(inside):
                raise PermissionError(f"the notebook writes {os.fsdecode(args[0])}, outside its folder")

    return look


class Child:
    def __init__(self, job):
        self.job = job
        self.frozen_module = self.module("frozen", job["frozen"])
        self.frozen = self.frozen_module.Frozen()
        self.frozen.find = self.find
        self.state = self.module("state", job["state"])
        self.space = self.module("features", "")
        self.space.__dict__["frozen"] = self.frozen
        self.space.__dict__["get_ipython"] = lambda: None
        self.space.__dict__["display"] = lambda *a, **k: None
        self.kinds = {}
        self.held = {}

    def module(self, name, source):
        full = f"{PACKAGE}.{name}"
        if PACKAGE not in sys.modules:
            sys.modules[PACKAGE] = types.ModuleType(PACKAGE)
            sys.modules[PACKAGE].__path__ = []
        made = types.ModuleType(full)
        sys.modules[full] = made
        exec(compile(source, f"<{name}>", "exec"), made.__dict__)
        return made

    def find(self, path):
        if not isinstance(path, (str, os.PathLike)) or os.path.exists(path):
            return path
        text = str(path)
        if "://" in text:
            return path
        name = text.replace("\\", "/").rsplit("/", 1)[-1]
        for place in (name, *self.job.get("files", [])):
            if os.path.basename(place) == name and os.path.exists(place):
                self.frozen.seen[f"moved {text}"] = place
                return place
        return path

    def run(self, steps):
        for step in steps:
            started = time.monotonic()
            say({"at": step["cell"]})
            try:
                exec(compile(step["code"], f"<cell {step['cell']}>", "exec"), self.space.__dict__)
            except BaseException as error:
                if isinstance(error, MemoryError):
                    return {"ok": False, "cell": step["cell"], "error": "MemoryError", "what": "the memory limit"}
                line = next(
                    (
                        f.lineno
                        for f in traceback.extract_tb(error.__traceback__)[::-1]
                        if f.filename == f"<cell {step['cell']}>"
                    ),
                    0,
                )
                return {
                    "ok": False,
                    "cell": step["cell"],
                    "line": line,
                    "error": type(error).__name__,
                    "what": str(error)[:300],
                    "module": getattr(error, "name", None),
                }
            self.kinds[step["place"]] = {
                n: self.kind(self.space.__dict__[n]) for n in step["names"] if n in self.space.__dict__
            }
            for n in step["names"]:
                if n in self.space.__dict__:
                    self.held[step["place"], n] = self.space.__dict__[n]
            self.kinds[step["place"]]["-"] = [round(time.monotonic() - started, 3), ""]
        return {
            "ok": True,
            "kinds": self.kinds,
            "seen": self.frozen.seen,
            "left": self.frozen.left,
            "tables": {s: self.table(p, t) for s, (p, t) in self.frozen.tables.items()},
        }

    def table(self, path, frame):
        return {
            "path": path,
            "rows": len(frame),
            "columns": [str(c) for c in frame.columns],
            "dtypes": [str(d) for d in frame.dtypes],
            "index": frame.index.name,
            "missing": [bool(m) for m in frame.isna().any()],
            "frame": True,
        }

    def kind(self, value):
        import pandas as pd

        if isinstance(value, types.ModuleType):
            return ["module", value.__name__]
        if isinstance(value, type):
            return ["class", value.__module__]
        if callable(value) and not hasattr(value, "predict") and not hasattr(value, "fit"):
            return ["function", getattr(value, "__module__", "")]
        if hasattr(value, "predict") or hasattr(value, "predict_proba"):
            return ["model", f"{type(value).__module__}.{type(value).__qualname__}"]
        if isinstance(value, (pd.DataFrame, pd.Series)) or hasattr(value, "shape") or isinstance(value, list):
            if self.frozen.row_like(value):
                return ["rows", str(len(value) if not hasattr(value, "shape") else value.shape[0])]
        return ["value", f"{type(value).__module__}.{type(value).__qualname__}"]

    def save(self, value):
        try:
            return {"json": self.state.encode(value)}
        except (TypeError, ValueError):
            return self.state.write_pickle(value)

    def column(self, series):
        """Values as a request would carry them."""
        out = []
        whole = series.dtype.kind in "iu"
        for v in series.tolist():
            if v is None or v != v:
                out.append(None)
            elif isinstance(v, bool):
                out.append(str(v))
            elif isinstance(v, (int, float)):
                out.append(int(v) if whole else v if abs(v) != float("inf") else None)
            else:
                out.append(str(v))
        return out

    def raw(self, site, index=None, most=20000):
        """Rows of a table that was read: positions and columns."""
        import numpy as np

        table = self.frozen.tables[site][1]
        if index is None:
            places = np.arange(len(table))
        else:
            places = table.index.get_indexer(index)
        chosen = np.unique(np.linspace(0, len(places) - 1, min(len(places), most)).astype(int))
        rows = table.iloc[places[chosen]]
        columns = {str(c): self.column(rows[c]) for c in rows.columns}
        if rows.index.name is not None:
            columns[str(rows.index.name)] = [str(v) for v in rows.index.tolist()]
        return chosen.tolist(), places[chosen].tolist(), columns

    def profile(self, site):
        """Columns of a table: type, missing, levels."""
        table = self.frozen.tables[site][1]
        out = []
        for c in table.columns:
            column = table[c]
            text = column.dtype.kind not in "iufM"
            words = column.astype(str) if text else None
            blank = bool((words.str.strip() == "").any()) if text else False
            levels = [str(v) for v in column.value_counts().index.tolist()] if text and column.nunique() <= 200 else []
            out.append(
                {
                    "name": str(c),
                    "dtype": str(column.dtype),
                    "missing": bool(column.isna().any()) or blank,
                    "levels": levels,
                }
            )
        return out

    def target(self, site, names):
        """The raw column that a training label was made from: (name, column, positive, task), or None."""
        import numpy as np
        import pandas as pd

        table = self.frozen.tables[site][1]
        arrays = []
        for name in names:
            try:
                y = eval(name, self.space.__dict__)
            except Exception:
                continue
            if isinstance(y, np.ndarray) and y.ndim == 1:
                arrays.append(y)
                continue
            if (
                not isinstance(y, pd.Series)
                or not self.frozen.row_like(y)
                or not table.index.is_unique
                or y.nunique() < 2
            ):
                continue
            values = y.astype(float) if y.dtype.kind in "biuf" else y
            raw = table.loc[y.index]
            close = [str(y.name)] if str(y.name) in map(str, raw.columns) else []
            for c in [*close, *raw.columns]:
                column = raw[c]
                if y.nunique() <= 20:
                    same = column.nunique(dropna=False) == y.nunique()
                    if same and values.groupby(column.to_numpy()).nunique().max() == 1:
                        positive = None
                        if y.nunique() == 2:
                            high = values.max() if values.dtype.kind == "f" else sorted(values.unique())[-1]
                            positive = str(column[values == high].iloc[0])
                        task = "binary" if positive is not None else "regression"
                        levels = [str(v) for v in column.unique().tolist()]
                        return {"name": name, "column": str(c), "positive": positive, "levels": levels, "task": task}
                elif column.dtype.kind in "iuf" and np.allclose(column, values, equal_nan=True):
                    return {"name": name, "column": str(c), "positive": None, "levels": [], "task": "regression"}
            if close and set(y.unique()) <= set(table[close[0]].unique()):  # the index was made anew: told by name
                return {"name": name, "column": close[0], "positive": None, "levels": [], "task": "regression"}
        frames = [f for f in self.space.__dict__.values() if isinstance(f, pd.DataFrame) and self.frozen.row_like(f)]
        for y in arrays:
            for frame in frames:
                for c in frame.columns:
                    fits = len(frame) == len(y) and frame[c].dtype.kind in "iuf" and table.index.is_unique
                    if fits and c not in table.columns and np.array_equal(frame[c].to_numpy(), y):
                        file = os.path.join(self.job["scratch"], "labelled.parquet")
                        made = table.loc[frame.index].copy()
                        made[c] = y
                        made.to_parquet(file, index=False)
                        return {
                            "name": str(c),
                            "column": str(c),
                            "positive": None,
                            "levels": [],
                            "task": "regression",
                            "file": file,
                        }
        return None

    def do(self, code):
        """Code of the parent's own, with ``child`` and the notebook's names; it sets ``answer``."""
        names = {"child": self, "space": self.space.__dict__, "frozen": self.frozen}
        exec(compile(code, "<parent>", "exec"), names)
        return names.get("answer")


def say(message):
    REAL.write(json.dumps(message).encode() + b"\n")
    REAL.flush()


def main():
    global REAL
    REAL = os.fdopen(os.dup(1), "wb")
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    sys.stdout, sys.stderr = io.StringIO(), io.StringIO()
    lines = os.fdopen(os.dup(0), "rb")
    sys.stdin = io.StringIO()
    job = json.loads(lines.readline())
    look = guard(job["scratch"], job["shell"], job["memory"], job["seconds"])
    os.chdir(job["cwd"])
    sys.path[:0] = job.get("paths", [])
    try:
        with contextlib.suppress(ImportError):
            import matplotlib

            matplotlib.use("Agg")
        child = Child(job)
    except BaseException as error:
        say({"ok": False, "cell": None, "error": type(error).__name__, "what": str(error)[:300]})
        return
    sys.addaudithook(look)
    while line := lines.readline():
        order = json.loads(line)
        try:
            answer = (
                child.run(order["steps"]) if order["op"] == "run" else {"ok": True, "answer": child.do(order["code"])}
            )
        except BaseException as error:
            answer = {
                "ok": False,
                "cell": None,
                "error": type(error).__name__,
                "what": str(error)[:300],
                "trace": traceback.format_exc()[-1500:],
            }
        sys.stdout.seek(0), sys.stdout.truncate()
        say(answer)
        if order.get("last"):
            return


if __name__ == "__main__":
    main()
