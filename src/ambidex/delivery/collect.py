"""Versions that go for good, and the files that nothing needs any more."""

from __future__ import annotations

from ambidex.bundle.seal import read_manifest
from ambidex.delivery.references import resolve
from ambidex.errors import UsageError
from ambidex.ports import Place
from ambidex.report.answer import Result
from ambidex.report.words import plural

__all__ = ["collect", "delete_version", "needed"]

SHARED = "its files stay, since other workspaces may use the bucket (`alone = true` under [s3] says that none does)"


def delete_version(place: Place, reference: str, *, because: str | None, dry_run: bool = False) -> Result:
    """Take a version out of use, then remove the files that no other version needs. What was done stays in the log.

    Raises:
        Refused: ``check.in-use`` where a pointer or the way back names it; ``check.altered`` where another version's
            manifest cannot be read, so that what it needs is not known. No file is removed then.
        NotFound: ``data.no-model``, ``data.no-version``.
    """
    if "@" not in reference:
        raise UsageError(
            "usage.value", f"which version of {reference}?", found="a model without a version",
            do="ambidex models ls",
        )  # fmt: skip
    name, number = resolve(place.store, reference, default="candidate")
    record = place.store.version(name, number)
    if dry_run:
        gone = [] if place.blobs.shared else _unneeded(place, without=(name, number))
        with_it = SHARED if place.blobs.shared else f"with {plural(len(gone), 'file')} that nothing else needs"
        told = f"{record.ref} would go, {with_it}"
        data = {"model": name, "version": number, "event": None, "files": len(gone), "bytes": None}
        return Result(verb="models", data=data, lines=(("▲", told),), next=(f"ambidex models delete {record.ref}",))
    needed(place)  # what cannot be read is found before anything is done
    event = place.store.delete(model=name, version=number, because=because or "deleted by hand")
    files, size = collect(place)
    removed = f"{plural(files, 'file')} ({size / 1e6:,.1f} MB) that nothing else needs removed"
    told = f"{record.ref} is deleted; {SHARED if place.blobs.shared else removed}"
    data = {"model": name, "version": number, "event": event.seq, "files": files, "bytes": size}
    return Result(verb="models", data=data, lines=(("✓", told),), next=("ambidex models ls",))


def collect(place: Place) -> tuple[int, int]:
    """Remove every file that no version needs; returns how many, and their bytes. Nothing of a shared place.

    A bundle that is sealed but not registered yet loses its files too; whoever registers it puts them back
    (``bundle.seal.register``), since nothing is registered while this runs. Killed at any point, the next
    collection does the rest.
    """
    files = size = 0
    if place.blobs.shared:
        return 0, 0
    with place.store.still():
        for sha256 in _unneeded(place):
            size += place.blobs.remove(sha256)
            files += 1
    if files:
        place.store.append(verb="collect", body={"files": files, "bytes": size})
    return files, size


def needed(place: Place, *, without: tuple[str, int] | None = None) -> set[str]:
    """Hashes of every file that a version needs, its manifest's included."""
    hashes: set[str] = set()
    for state in place.store.models():
        for record in place.store.versions(state.name):
            if (record.model, record.number) != without:
                manifest = read_manifest(place.blobs, record.digest)
                hashes |= {record.digest, *(entry["sha256"] for entry in manifest["files"].values())}
    return hashes


def _unneeded(place: Place, *, without: tuple[str, int] | None = None) -> list[str]:
    keep = needed(place, without=without)
    return [sha256 for sha256 in place.blobs if sha256 not in keep]
