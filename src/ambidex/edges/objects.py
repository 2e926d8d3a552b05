"""Blobs in a bucket: named by their sha256, created only where nothing is, read back before they count.

Every S3 server that knows conditional writes will do (AWS, MinIO, Ceph, R2). Credentials come from
the environment as every S3 client reads them (``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY``, an
instance's role), never from ambidex.toml.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, TypeVar
from urllib.parse import urlsplit

from ambidex.edges.files import is_hash
from ambidex.errors import EnvironmentProblem, MissingExtra, NotFound, Refused, UsageError
from ambidex.ports import StepHook
from ambidex.records import digest

__all__ = ["ObjectBlobs"]

T = TypeVar("T")
_TRIES = 3
_RETRY = {"max_retries": 2, "retry_timeout": timedelta(seconds=20)}
_LIMITS = {"timeout": "30s", "connect_timeout": "5s"}


class ObjectBlobs:
    """Content-addressed bytes in a bucket: ``PREFIX/ab/abcd…``; implements ``ports.Blobs``.

    Args:
        url: ``s3://bucket/prefix``.
        endpoint: Address of the server where it is not Amazon's, e.g. ``https://minio.example:9000``.
        region: The bucket's region.
        alone: Whether nobody else keeps files under this address.
        hook: Called before and after each request that changes the bucket.

    Raises:
        UsageError: ``usage.config`` for another kind of address.
        MissingExtra: obstore is not installed.
    """

    def __init__(
        self, url: str, *, endpoint: str | None = None, region: str | None = None, alone: bool = False,
        hook: StepHook | None = None,
    ) -> None:  # fmt: skip
        try:
            from obstore.store import S3Store
        except ModuleNotFoundError as error:
            raise MissingExtra("obstore", "s3", "artifacts in a bucket") from error
        self.bucket, self._prefix = place_of(url)
        self._hook = hook
        self.shared = not alone
        options: dict[str, Any] = {"region": region or "us-east-1"}
        if endpoint is not None:
            options |= {"endpoint": endpoint, "virtual_hosted_style_request": False}
        client: Any = {**_LIMITS, "allow_http": bool(endpoint and endpoint.startswith("http://"))}
        retry: Any = _RETRY
        self._store = S3Store(self.bucket, client_options=client, retry_config=retry, **options)

    def put(self, data: bytes) -> str:
        """Store bytes and read them back; what this returns is what the bucket holds.

        Args:
            data: The bytes.

        Returns:
            Their sha256. The same bytes again are not written again, unless the object was altered:
            then it is put right, if nobody else changes it meanwhile.

        Raises:
            EnvironmentProblem: ``env.no-objects`` where the bucket refuses or does not answer.
        """
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        sha256 = digest(data)
        path = self._path(sha256)
        mode: Any = "create"
        for _ in range(_TRIES):
            try:
                self._step("object put", lambda mode=mode: obstore.put(self._store, path, data, mode=mode))  # type: ignore[misc]
            except (AlreadyExistsError, PreconditionError):
                pass  # of two writers of the same bytes one wins, and both may go on
            except FileNotFoundError:
                mode = "create"  # removed between the reading and the swap
                continue
            held = self._read(path)
            if held is not None and digest(held[0]) == sha256:
                return sha256
            # Compare-and-swap: only the altered object that was seen is replaced.
            mode = "create" if held is None else {"e_tag": held[1]}
        raise EnvironmentProblem(
            "env.no-objects",
            "the bucket does not give back what was put into it",
            where=f"s3://{self.bucket}/{path}",
            do="look at the bucket: who else writes there",
        )

    def get(self, sha256: str) -> bytes:
        """The bytes of a hash, verified.

        Raises:
            NotFound: ``data.no-file`` if no such blob is stored.
            Refused: ``check.altered`` if the object's bytes are not those that were stored.
            EnvironmentProblem: ``env.no-objects``.
        """
        path = self._path(sha256)
        held = self._read(path)
        where = f"s3://{self.bucket}/{path}"
        if held is None:
            raise NotFound("data.no-file", f"the bucket holds no file {sha256[:12]}", where=where, do="ambidex doctor")
        found = digest(held[0])
        if found != sha256:
            raise Refused(
                "check.altered",
                f"{where} is not what was stored",
                where=where,
                found=f"sha256 {found[:12]}…, stored as {sha256[:12]}…, {len(held[0])} bytes",
                do="put the object back from a backup, or train the version again",
            )
        return held[0]

    def has(self, sha256: str) -> bool:
        """Whether a blob is there (not whether it is sound)."""
        import obstore

        path = self._path(sha256)
        try:
            self._asked(lambda: obstore.head(self._store, path))
        except FileNotFoundError:
            return False
        return True

    def remove(self, sha256: str) -> int:
        """Remove a blob for good; returns its bytes, 0 if it was not there."""
        import obstore

        path = self._path(sha256)
        try:
            size = int(self._asked(lambda: obstore.head(self._store, path))["size"])
        except FileNotFoundError:
            return 0
        self._step("object delete", lambda: obstore.delete(self._store, path))
        return size

    def __iter__(self) -> Iterator[str]:
        import obstore

        for part in self._asked(lambda: list(obstore.list(self._store, prefix=self._prefix or None))):
            for one in part:
                name = str(one["path"]).rpartition("/")[2]
                if is_hash(name):
                    yield name

    def _read(self, path: str) -> tuple[bytes, str | None] | None:
        import obstore

        try:
            result = self._asked(lambda: obstore.get(self._store, path))
            return self._asked(lambda: bytes(result.bytes())), result.meta.get("e_tag")
        except FileNotFoundError:
            return None

    def _path(self, sha256: str) -> str:
        if not is_hash(sha256):
            raise NotFound("data.no-file", f"{str(sha256)[:80]!r} is not the hash of a file")
        return f"{self._prefix}{sha256[:2]}/{sha256}"

    def _step(self, name: str, call: Callable[[], T]) -> T:
        """A request that changes the bucket, between its two points."""
        if self._hook is not None:
            self._hook(f"{name}:before")
        value = self._asked(call)
        if self._hook is not None:
            self._hook(f"{name}:after")
        return value

    def _asked(self, call: Callable[[], T]) -> T:
        """The answer of the bucket, or its refusal in our words; conditions that failed pass through."""
        from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

        try:
            return call()
        except (AlreadyExistsError, PreconditionError, FileNotFoundError):
            raise
        except (BaseError, OSError) as error:
            raise EnvironmentProblem(
                "env.no-objects",
                "the bucket does not answer, or refuses",
                where=f"s3://{self.bucket}",
                found=_short(error),
                do="look at `artifacts` and [s3] in ambidex.toml, at the keys in the environment, and at the server",
            ) from error


def place_of(url: str) -> tuple[str, str]:
    """Bucket and prefix (empty, or ending in ``/``) of an ``s3://`` address.

    >>> place_of("s3://models/team/churn")
    ('models', 'team/churn/')
    """
    try:
        parts = urlsplit(url)
        scheme, bucket, odd = parts.scheme, parts.hostname, bool(parts.query or parts.fragment or parts.username)
    except ValueError:
        scheme, bucket, odd = "", None, True
    if scheme != "s3" or not bucket or odd or ".." in parts.path.split("/"):
        raise UsageError(
            "usage.config",
            "`artifacts` is the address of a bucket",
            where="ambidex.toml, artifacts",
            found=f"{scheme}://…" if scheme else "no address",
            do='artifacts = "s3://BUCKET/PREFIX"; keys belong into the environment',
        )
    prefix = parts.path.strip("/")
    return bucket, f"{prefix}/" if prefix else ""


def _short(error: BaseException) -> str:
    """The first line of what the client says, without the request."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:160] if lines else type(error).__name__
