"""Compares two object stores in full: every key, every checksum. EDGE but for `checksums` and the digests (PURE).

Called by the compare steps, the gate before anything starts at the target. Where both stores give the same MD5 ETag of
an object, that is its checksum; everything else (multipart uploads, encrypted objects, differing ETags) is read on both
sides and hashed with SHA-256. `deep` reads every object.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from threading import Lock
from typing import Any

from meshctl.errors import BusyError, CredentialsError, UnreachableError
from meshctl.objects.listing import MD5, Access, Item, Listing, folder, list_objects, named, newest, s3_client
from meshctl.objects.progress import OnCopied, Stop
from meshctl.objects.store import ObjectAccess

_MULTIPART = re.compile(r"[0-9a-f]{32}-\d+")
_READERS = 8
_BLOCK = 1 << 20
_TRIES = 20  # of one object, without a byte in between: begun anew, all objects would be read again
_REFUSED_TRIES = 5
_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 15.0


@dataclass(frozen=True)
class SideSummary:
    """One side of the parity table. `digest`: SHA-256 over the sorted lines "key, size, checksum". `newest`: when the
    last object was written, by the store's clock: what is newer was not compared."""

    objects: int
    total_bytes: int
    digest: str
    newest: float = field(default=0.0, compare=False)


@dataclass(frozen=True)
class Comparison:
    """`missing`: at the source only; `extra`: at the target only; `differing`: other content. Keys, sorted."""

    source: SideSummary
    target: SideSummary
    missing: tuple[str, ...]
    extra: tuple[str, ...]
    differing: tuple[str, ...]
    read_bytes: int  # of each side, for objects whose ETags say nothing

    @property
    def equal(self) -> bool:
        return not (self.missing or self.extra or self.differing)

    def document(self) -> dict[str, Any]:
        """For the journal: the summaries, not the keys."""
        return {"source": asdict(self.source), "target": asdict(self.target), "read_bytes": self.read_bytes}


def compare(
    source: Access,
    target: Access,
    *,
    deep: bool = False,
    on_read: OnCopied | None = None,
    stop: Stop | None = None,
) -> Comparison:
    """List both sides and compare all content. Raises: UnreachableError, CredentialsError, InterruptedByUserError."""
    here, there = list_objects(source()), list_objects(target())
    common = here.keys() & there.keys()
    same_size = [key for key in common if here[key].size == there[key].size]
    to_read = sorted(key for key in same_size if deep or not proves_equal(here[key], there[key]))
    sums = _read_both(source, target, {key: (here[key], there[key]) for key in to_read}, on_read, stop or Stop())
    ours = checksums(here, {key: pair[0] for key, pair in sums.items()})
    theirs = checksums(there, {key: pair[1] for key, pair in sums.items()})
    return Comparison(
        source=SideSummary(len(here), sum(i.size for i in here.values()), digest(here, ours), newest(here)),
        target=SideSummary(len(there), sum(i.size for i in there.values()), digest(there, theirs), newest(there)),
        missing=tuple(sorted(here.keys() - there.keys())),
        extra=tuple(sorted(there.keys() - here.keys())),
        differing=tuple(sorted(k for k in common if here[k].size != there[k].size or ours[k] != theirs[k])),
        read_bytes=sum(here[key].size for key in to_read),
    )


def proves_equal(one: Item, other: Item) -> bool:
    """Whether the ETags alone say that the content is the same: equal MD5s, or equal MD5s of equal parts."""
    return one.etag == other.etag and bool(MD5.fullmatch(one.etag) or _MULTIPART.fullmatch(one.etag))


def checksums(listing: Listing, read: Mapping[str, str]) -> dict[str, str]:
    """Checksum by key: what was read counts, else the ETag."""
    return {key: f"sha256:{read[key]}" if key in read else f"etag:{item.etag}" for key, item in listing.items()}


def digest(listing: Listing, sums: Mapping[str, str]) -> str:
    lines = hashlib.sha256()
    for key in sorted(listing):
        lines.update(f"{key}\0{listing[key].size}\0{sums[key]}\n".encode())
    return lines.hexdigest()


def listing_digest(listing: Listing) -> str:
    """Tells whether anything was written to one store between two listings; says nothing of another store's content."""
    return digest(listing, checksums(listing, {}))


def _read_both(
    source: Access, target: Access, items: Mapping[str, tuple[Item, Item]], on_read: OnCopied | None, stop: Stop
) -> dict[str, tuple[str, str]]:
    """SHA-256 of each key on either side, several at a time."""
    here, there = _Side(source, stop), _Side(target, stop)
    found: dict[str, tuple[str, str]] = {}
    total, done = sum(item.size for item, _ in items.values()), 0

    def read(key: str) -> tuple[str, str]:
        return here.sha256(key, items[key][0]), there.sha256(key, items[key][1])

    with ThreadPoolExecutor(_READERS) as pool:
        for key, pair in zip(items, pool.map(read, items), strict=True):
            found[key] = pair
            done += items[key][0].size
            if on_read is not None:
                on_read(done, total, len(found), len(items), None)
    return found


class _Side:
    """One store, read by several threads with one client, which is made anew once it was refused or cut off."""

    def __init__(self, access: Access, stop: Stop) -> None:
        self._access, self._stop = access, stop
        self._lock = Lock()
        self._opened: tuple[Any, ObjectAccess] | None = None

    def sha256(self, key: str, item: Item) -> str:
        """Goes on where a connection was cut. Raises: UnreachableError, CredentialsError after some tries without a
        byte, MigrationError, InterruptedByUserError.
        """
        found, read, tries = hashlib.sha256(), 0, 0
        opened = None
        while True:
            opened, before = self._open(opened), read
            try:
                with named(opened[1]):
                    for block in _blocks(*opened, key, item, read):
                        self._stop.check()
                        found.update(block)
                        read += len(block)
                return found.hexdigest()
            except (UnreachableError, BusyError, CredentialsError) as error:
                tries = 1 if read > before else tries + 1
                if tries >= (_REFUSED_TRIES if isinstance(error, CredentialsError) else _TRIES):
                    raise
                self._stop.check()
                time.sleep(min(_PAUSE_S * tries, _LONGEST_PAUSE_S))

    def _open(self, refused: tuple[Any, ObjectAccess] | None) -> tuple[Any, ObjectAccess]:
        """The client that all use now; a new one, with fresh credentials, if that is the refused one."""
        with self._lock:
            if self._opened is None or self._opened is refused:
                access = self._access()
                self._opened = s3_client(access), access
            return self._opened


def _blocks(client: Any, access: ObjectAccess, key: str, item: Item, read: int) -> Iterator[bytes]:
    """The object's content after its first `read` bytes."""
    if read and read >= item.size:
        return
    rest = {"Range": f"bytes={read}-", "IfMatch": f'"{item.etag}"'} if read else {}
    body = client.get_object(Bucket=access.bucket, Key=folder(access) + key, **rest)["Body"]
    yield from body.iter_chunks(_BLOCK)
