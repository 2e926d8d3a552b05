"""Seal and read a bundle: every file is a blob, the manifest names them, its sha256 names the bundle.

The manifest holds no time and no machine: the same run gives the same digest.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ambidex.errors import NotFound, Refused
from ambidex.ports import Blobs, Store
from ambidex.records import VersionRecord, canonical, digest

__all__ = ["FORMAT", "read_file", "read_manifest", "register", "seal", "verify"]

FORMAT = "ambidex-bundle/1"


def seal(blobs: Blobs, files: Mapping[str, bytes]) -> str:
    """Store the files and their manifest; the manifest goes last, so half a bundle has no name.

    Args:
        blobs: Where the bytes go.
        files: Bytes by name.

    Returns:
        The bundle's digest: sha256 of the manifest.
    """
    entries = {name: {"sha256": blobs.put(data), "size": len(data)} for name, data in sorted(files.items())}
    return blobs.put(canonical({"format": FORMAT, "files": entries}))


def register(store: Store, blobs: Blobs, files: Mapping[str, bytes], **facts: Any) -> VersionRecord:
    """Seal a bundle and register it; what a collection of unneeded files took in between is put back.

    Args:
        store: Where the version is registered.
        blobs: Where the bytes go.
        files: Bytes by name.
        facts: What ``Store.register`` wants beside the digest.
    """
    bundle = seal(blobs, files)
    hashes = [bundle, *(digest(data) for data in files.values())]

    def complete() -> None:
        if not all(map(blobs.has, hashes)):
            seal(blobs, files)

    return store.register(digest=bundle, complete=complete, **facts)


def read_manifest(blobs: Blobs, bundle: str) -> dict[str, Any]:
    """The manifest, verified by its digest before it is parsed.

    Raises:
        Refused: ``check.altered`` if the bytes are not what was sealed, or are no manifest.
    """
    data = _there(blobs, bundle, "the bundle's manifest")
    if digest(data) != bundle:
        raise Refused("check.altered", "the bundle's manifest is not what was sealed", found=f"sha256 {digest(data)}")
    try:
        manifest = json.loads(data)
    except ValueError as error:
        raise Refused("check.altered", "the bundle's manifest is not JSON") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise Refused("check.altered", f"this is no bundle of format {FORMAT}")
    return manifest


def read_file(blobs: Blobs, manifest: Mapping[str, Any], name: str) -> bytes:
    """One file of a bundle, verified by its hash.

    Raises:
        Refused: ``check.altered`` if it is not there or its hash differs.
    """
    entry = manifest["files"].get(name)
    if entry is None:
        raise Refused("check.altered", f"the bundle has no file {name}", found=", ".join(sorted(manifest["files"])))
    data = _there(blobs, entry["sha256"], name)
    if digest(data) != entry["sha256"]:
        raise Refused(
            "check.altered",
            f"{name} is not what was sealed",
            found=f"sha256 {digest(data)[:12]}…",
            do="ambidex doctor",
        )
    return data


def _there(blobs: Blobs, sha256: str, name: str) -> bytes:
    try:
        return blobs.get(sha256)
    except NotFound as error:
        raise Refused(
            "check.altered",
            f"{name} is not there any more",
            where=error.where,
            found="no such file",
            do="put the file back from a backup, or train the version again",
        ) from error


def verify(blobs: Blobs, bundle: str) -> list[str]:
    """Names of the bundle's files, each of which was read and found sound."""
    manifest = read_manifest(blobs, bundle)
    for name in manifest["files"]:
        read_file(blobs, manifest, name)
    return sorted(manifest["files"])
