"""Blobs in a bucket: the contract on a real S3 server, altered objects, races, and a server that is not there."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from ambidex.errors import EnvironmentProblem, Refused, UsageError
from ambidex.records import digest
from ambidex.testing import BlobsContract

objects = pytest.importorskip("ambidex.edges.objects")
obstore = pytest.importorskip("obstore", reason="S3: obstore is not installed (pip install 'ambidex[s3]')")


@pytest.fixture
def place(s3_server):
    """Arguments of an empty prefix."""
    return {"url": f"s3://models/{uuid.uuid4().hex}", "endpoint": s3_server}


@pytest.fixture
def blobs(place):
    return objects.ObjectBlobs(place["url"], endpoint=place["endpoint"])


class TestObjectBlobs(BlobsContract):
    @pytest.fixture
    def blobs(self, place):
        return objects.ObjectBlobs(place["url"], endpoint=place["endpoint"])


def overwrite(blobs, sha256: str, data: bytes) -> None:
    obstore.put(blobs._store, blobs._path(sha256), data)


def test_an_altered_object_is_refused_and_put_right(blobs):
    name = blobs.put(b"the bundle")
    overwrite(blobs, name, b"another bundle")
    with pytest.raises(Refused) as caught:
        blobs.get(name)
    assert caught.value.code == "check.altered"
    assert blobs.put(b"the bundle") == name
    assert blobs.get(name) == b"the bundle"


def test_twenty_writers_of_one_blob(blobs):
    data = b"the same" * 10_000
    with ThreadPoolExecutor(20) as pool:
        assert set(pool.map(lambda _: blobs.put(data), range(20))) == {digest(data)}
    assert list(blobs) == [digest(data)]


def test_what_the_bucket_does_not_keep_is_not_acknowledged(blobs, monkeypatch):
    """A store that answers yes and keeps something else."""
    put = obstore.put
    monkeypatch.setattr(obstore, "put", lambda store, path, data, **mode: put(store, path, data[:-1], **mode))
    with pytest.raises(EnvironmentProblem) as caught:
        blobs.put(b"the bundle")
    assert caught.value.code == "env.no-objects"


def test_every_request_that_changes_the_bucket_has_a_point(place):
    steps: list[str] = []
    blobs = objects.ObjectBlobs(place["url"], endpoint=place["endpoint"], hook=steps.append)
    blobs.put(b"abc")
    assert steps == ["object put:before", "object put:after"]


def test_nobody_answers(monkeypatch):
    blobs = objects.ObjectBlobs("s3://models/x", endpoint="http://127.0.0.1:9")
    for call in (lambda: blobs.put(b"abc"), lambda: blobs.get(digest(b"abc")), lambda: list(blobs)):
        with pytest.raises(EnvironmentProblem) as caught:
            call()
        assert caught.value.code == "env.no-objects"
        assert "Traceback" not in str(caught.value)


def test_no_such_bucket(s3_server):
    blobs = objects.ObjectBlobs("s3://never-made/x", endpoint=s3_server)
    with pytest.raises(EnvironmentProblem) as caught:
        blobs.put(b"abc")
    assert caught.value.code == "env.no-objects"


@pytest.mark.parametrize(
    "url", ["http://h/b", "s3://", "s3:///x", "b/p", "s3://key@bucket/x", "s3://b/../c", "s3://b?x=1"]
)
def test_addresses_that_are_none(url):
    with pytest.raises(UsageError) as caught:
        objects.ObjectBlobs(url)
    assert caught.value.code == "usage.config"
