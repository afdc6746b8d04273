"""Compares two object stores in full: every key, every checksum. EDGE but for `checksums` and the digests (PURE).

Called by the compare steps of a migration. If both stores report the same MD5 ETag for an object, that ETag is its
checksum. All other objects (multipart uploads, encrypted objects, different ETags) are read from both stores and hashed
with SHA-256. `deep` reads every object.
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
from meshctl.objects.listing import (
    MD5,
    Access,
    Item,
    Listing,
    key_prefix,
    list_objects,
    newest,
    s3_client,
    translate_errors,
)
from meshctl.objects.progress import OnCopied, Stop
from meshctl.objects.store import ObjectAccess

_MULTIPART = re.compile(r"[0-9a-f]{32}-\d+")
_READERS = 8
_BLOCK = 1 << 20
_TRIES = 20  # in a row without a byte of an object; a comparison that gives up must read all objects again
_REFUSED_TRIES = 5
_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 15.0


@dataclass(frozen=True)
class SideSummary:
    """One store as compared. `digest` is the SHA-256 of the sorted lines "key, size, checksum". `newest` is when the
    newest object was written, by the store's clock: objects that are newer were not compared."""

    objects: int
    total_bytes: int
    digest: str
    newest: float = field(default=0.0, compare=False)


@dataclass(frozen=True)
class Comparison:
    """Sorted keys: `missing` are at the source only, `extra` at the target only, `differing` have different content."""

    source: SideSummary
    target: SideSummary
    missing: tuple[str, ...]
    extra: tuple[str, ...]
    differing: tuple[str, ...]
    read_bytes: int  # from each side, of objects whose ETags can't be compared

    @property
    def equal(self) -> bool:
        return not (self.missing or self.extra or self.differing)

    def document(self) -> dict[str, Any]:
        """For the journal: the summaries without the keys."""
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
    old, new = list_objects(source()), list_objects(target())
    common = old.keys() & new.keys()
    same_size = [key for key in common if old[key].size == new[key].size]
    to_read = sorted(key for key in same_size if deep or not proves_equal(old[key], new[key]))
    hashes = _hash_both(source, target, {key: (old[key], new[key]) for key in to_read}, on_read, stop or Stop())
    old_sums = checksums(old, {key: pair[0] for key, pair in hashes.items()})
    new_sums = checksums(new, {key: pair[1] for key, pair in hashes.items()})
    return Comparison(
        source=_summary(old, old_sums),
        target=_summary(new, new_sums),
        missing=tuple(sorted(old.keys() - new.keys())),
        extra=tuple(sorted(new.keys() - old.keys())),
        differing=tuple(sorted(k for k in common if old[k].size != new[k].size or old_sums[k] != new_sums[k])),
        read_bytes=sum(old[key].size for key in to_read),
    )


def _summary(listing: Listing, sums: Mapping[str, str]) -> SideSummary:
    total_bytes = sum(item.size for item in listing.values())
    return SideSummary(len(listing), total_bytes, digest(listing, sums), newest(listing))


def proves_equal(one: Item, other: Item) -> bool:
    """Whether the ETags alone prove equal content: they are equal, and MD5s or MD5s of the same parts."""
    return one.etag == other.etag and bool(MD5.fullmatch(one.etag) or _MULTIPART.fullmatch(one.etag))


def checksums(listing: Listing, hashes: Mapping[str, str]) -> dict[str, str]:
    """The checksum of each key: its SHA-256 if the object was read, otherwise its ETag."""
    return {key: f"sha256:{hashes[key]}" if key in hashes else f"etag:{item.etag}" for key, item in listing.items()}


def digest(listing: Listing, sums: Mapping[str, str]) -> str:
    lines = hashlib.sha256()
    for key in sorted(listing):
        lines.update(f"{key}\0{listing[key].size}\0{sums[key]}\n".encode())
    return lines.hexdigest()


def listing_digest(listing: Listing) -> str:
    """Changes with any write to the store. Comparable only between listings of one store, because it uses ETags."""
    return digest(listing, checksums(listing, {}))


def _hash_both(
    source: Access, target: Access, items: Mapping[str, tuple[Item, Item]], on_read: OnCopied | None, stop: Stop
) -> dict[str, tuple[str, str]]:
    """The SHA-256 of each key at the source and at the target; several objects are read at a time."""
    source_reader, target_reader = _Reader(source, stop), _Reader(target, stop)
    hashes: dict[str, tuple[str, str]] = {}
    total, done = sum(item.size for item, _ in items.values()), 0

    def read(key: str) -> tuple[str, str]:
        return source_reader.sha256(key, items[key][0]), target_reader.sha256(key, items[key][1])

    with ThreadPoolExecutor(_READERS) as pool:
        for key, pair in zip(items, pool.map(read, items), strict=True):
            hashes[key] = pair
            done += items[key][0].size
            if on_read is not None:
                on_read(done, total, len(hashes), len(items), None)
    return hashes


class _Reader:
    """Reads one store. Its threads share one client, which is replaced after a refused call or a cut connection."""

    def __init__(self, access: Access, stop: Stop) -> None:
        self._access, self._stop = access, stop
        self._lock = Lock()
        self._opened: tuple[Any, ObjectAccess] | None = None

    def sha256(self, key: str, item: Item) -> str:
        """Continues at the byte where a connection was cut.

        Raises: UnreachableError, CredentialsError after several tries in a row without a byte; MigrationError,
        InterruptedByUserError.
        """
        content_hash, read, tries = hashlib.sha256(), 0, 0
        opened = None
        while True:
            opened, before = self._open(opened), read
            try:
                with translate_errors(opened[1]):
                    for block in _blocks(*opened, key, item, read):
                        self._stop.check()
                        content_hash.update(block)
                        read += len(block)
                return content_hash.hexdigest()
            except (UnreachableError, BusyError, CredentialsError) as error:
                tries = 1 if read > before else tries + 1
                if tries >= (_REFUSED_TRIES if isinstance(error, CredentialsError) else _TRIES):
                    raise
                self._stop.check()
                time.sleep(min(_PAUSE_S * tries, _LONGEST_PAUSE_S))

    def _open(self, failed: tuple[Any, ObjectAccess] | None) -> tuple[Any, ObjectAccess]:
        """The client shared by all threads. If that is still the `failed` one, a new one with fresh credentials."""
        with self._lock:
            if self._opened is None or self._opened is failed:
                access = self._access()
                self._opened = s3_client(access), access
            return self._opened


def _blocks(client: Any, access: ObjectAccess, key: str, item: Item, read: int) -> Iterator[bytes]:
    """The object's content after its first `read` bytes."""
    if read and read >= item.size:
        return
    rest = {"Range": f"bytes={read}-", "IfMatch": f'"{item.etag}"'} if read else {}
    body = client.get_object(Bucket=access.bucket, Key=key_prefix(access) + key, **rest)["Body"]
    yield from body.iter_chunks(_BLOCK)
