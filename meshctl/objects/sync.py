"""Copies one object store to another with rclone. EDGE.

Called by the copy steps of a migration. rclone gets both stores as the remotes SOURCE and TARGET in environment
variables, so that no credential is in an argument list or on disk; the user's rclone configuration is not used. An
interrupted copy is simply run again: rclone skips objects that are at the target with the same size and time. Since
times have a resolution of a second, the MD5 ETags in the listings are compared afterwards. For objects without an MD5
ETag see `seeded`.

The first copy of a migration (the seed, `live`) runs while workloads write to the source. Objects that vanish or change
meanwhile are not an error there, because the sync copies them later; but each object that was at the source during the
whole seed, unchanged, must be at the target afterwards. In the sync, when the writers have stopped, every object must
be copied.

The sync also deletes at the target what is not at the source: an object that was deleted at the source after the seed
must not reappear. This is safe because planning refuses a target with other objects, unless the user agreed to replace
them. A copy back to the source never deletes.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Container, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

from meshctl import tools
from meshctl.clients import certificates
from meshctl.errors import MeshError, MigrationError, UnreachableError
from meshctl.objects import keys, metadata, seeded
from meshctl.objects.listing import (
    RCLONE_PART,
    Access,
    Listing,
    delete_objects,
    keys_with_other_md5,
    list_objects,
    of_others,
    url,
)
from meshctl.objects.progress import OnCopied, Stop
from meshctl.objects.store import ObjectAccess
from meshctl.words import pluralize

_ATTEMPTS = 3
# rclone's errors for an object that vanished or changed during the copy
_CHANGED = re.compile(r"NoSuchKey|api error NotFound|object not found|InvalidRange|differ|being updated", re.IGNORECASE)
# its errors for a store that did not answer, or is overloaded
_NO_ANSWER = re.compile(
    r"dial tcp|i/o timeout|connection re(fused|set)|broken pipe|no such host|TLS handshake timeout|unexpected EOF"
    r"|request send failed|StatusCode: (429|500|502|503|504)\b|SlowDown|RequestTimeout",
    re.IGNORECASE,
)
_SUMMARY = re.compile(r"Attempt \d|Failed to |not deleting", re.IGNORECASE)  # sums up earlier errors
_COPIED_MESSAGE = re.compile(r"(Multi-thread )?Copied")
_OPTIONS = (
    "--config=",  # no configuration file
    "--metadata",  # copy content type and user metadata, too
    "--s3-encoding=Raw",  # keep keys as they are: otherwise keys that are no valid file names are lost
    "--no-unicode-normalization",  # keys that differ only in Unicode normalization are different objects
    "--no-update-modtime",  # updating times would make the target's objects look newer without copying anything
    "--transfers=16",
    "--checkers=32",
    "--s3-upload-concurrency=8",
    f"--s3-chunk-size={RCLONE_PART}B",
    "--buffer-size=4Mi",
    "--multi-thread-streams=8",
    "--fast-list",
    "--retries=3",
    "--low-level-retries=10",
    "--use-json-log",
    "--log-level=INFO",
    "--stats=1s",
    "--stats-log-level=NOTICE",
)


@dataclass(frozen=True)
class CopyResult:
    """What one copy has done."""

    objects: int
    total_bytes: int
    deleted: int
    etags: seeded.ETags = field(default_factory=dict)  # after a live copy: `seeded.proven_etags`

    def __add__(self, other: CopyResult) -> CopyResult:
        numbers = self.objects + other.objects, self.total_bytes + other.total_bytes, self.deleted + other.deleted
        return CopyResult(*numbers)


def copy(
    source: Access,
    target: Access,
    *,
    delete: bool,
    live: bool = False,
    recopy: Sequence[str] = (),
    since_s: float = 0.0,
    seeded_etags: seeded.ETags | None = None,
    others_until_s: float = 0.0,
    on_copied: OnCopied | None = None,
    stop: Stop | None = None,
) -> CopyResult:
    """Bring `target` up to date with `source`.

    Some objects are copied again although size and time agree: those of `recopy`, and those written since `since_s`
    (seconds since the epoch) of which only content type or metadata changed. Objects in `seeded_etags` whose ETags have
    not changed since the seed are skipped whatever their time. Objects of others are left out: see `listing.of_others`
    for `others_until_s`.

    Raises: MigrationError with rclone's errors after three attempts, or with the keys that were not or can't be copied;
    UnreachableError, NoBucketError, InterruptedByUserError.
    """
    source_before, target_before = list_objects(source()), list_objects(target())
    others = of_others(source_before, target_before, others_until_s)
    keys.check_copyable(url(source()), source_before.keys() - others)
    options = keys.rclone_options(chain(source_before, target_before))
    unchanged = seeded.keys_unchanged_since_seed(seeded_etags or {}, source_before, target_before)
    run = _Run(source, target, options, on_copied or (lambda *_: None), stop or Stop(), live=live)
    if not live:
        source_before = {}  # only a live copy needs it, and listings are large
    verb = ["sync" if delete else "copy"]
    left_out = [*(f"/{key}" for key in unchanged), *keys.exclude_patterns(others)]
    if left_out:
        verb.append("--exclude-from=-")  # rclone does not delete excluded objects either
    copied = run.run_with_retries(verb, "".join(f"{pattern}\n" for pattern in left_out).encode())
    source_after, target_after = list_objects(source()), list_objects(target())
    if live:
        copied = replace(copied, etags=seeded.proven_etags(source_before, source_after, target_after))
        missing = _missing_keys(source_before, source_after, target_after, run.vanished_keys)
        _refuse_missing(source(), target(), missing)
    to_inspect = metadata.keys_to_inspect(source_after, target_after, run.copied_keys, since_s)
    other_metadata = metadata.keys_with_other_metadata(source(), target(), to_inspect, run.stop)
    other_md5 = () if live else keys_with_other_md5(source_after, target_after)
    to_copy = other_metadata if live else sorted({*recopy, *other_md5, *other_metadata})
    return replace(copied + run.copy_regardless(to_copy, delete=delete), etags=copied.etags) if to_copy else copied


def _missing_keys(source_before: Listing, source: Listing, target: Listing, vanished_keys: Container[str]) -> list[str]:
    """Keys of objects that did not change at the source during the copy, and that are not at the target, or for which
    rclone reported an error. PURE."""
    unchanged = (key for key, item in source_before.items() if source.get(key) == item)
    return sorted(
        key for key in unchanged if key in vanished_keys or key not in target or target[key].size != source[key].size
    )


def _refuse_missing(source: ObjectAccess, target: ObjectAccess, missing: Sequence[str]) -> None:
    """Raises: MigrationError if there are missing keys."""
    if missing:
        raise MigrationError(
            f"{pluralize(len(missing), 'object')} of {url(source)} did not arrive at {url(target)}",
            why=f"they did not change at the source during the copy: {keys.quoted_sample(missing)}",
            hint="run the copy again; if that does not help, the target may not accept such keys: rename the objects",
        )


def remote_environment(name: str, access: ObjectAccess) -> dict[str, str]:
    """The environment variables that configure one remote (https://rclone.org/docs/#environment-variables)."""
    settings = {
        "TYPE": "s3",
        "PROVIDER": "Other" if access.endpoint else "AWS",
        "ENV_AUTH": "false",
        "ACCESS_KEY_ID": access.access_key,
        "SECRET_ACCESS_KEY": access.secret_key,
        "SESSION_TOKEN": access.session_token,
        "REGION": access.region,
        "ENDPOINT": access.endpoint,
        "FORCE_PATH_STYLE": "false" if _is_virtual(access) else "true",
        "NO_CHECK_BUCKET": "true",  # `up` has created the buckets; the credentials need not allow that
    }
    return {f"RCLONE_CONFIG_{name}_{key}": value for key, value in settings.items() if value}


def _is_virtual(access: ObjectAccess) -> bool:
    return access.addressing == "virtual" or (access.addressing == "auto" and not access.endpoint)


@dataclass(frozen=True)
class _Error:
    """An error in rclone's log. `key` is empty if the error is not about one object."""

    key: str
    text: str

    @property
    def is_harmless(self) -> bool:
        """Whether it only reports that an object vanished or changed. If more was wrong, the listings will show it."""
        return bool(_CHANGED.search(self.text) if self.key else _SUMMARY.match(self.text))

    def __str__(self) -> str:
        return f"{self.key}: {self.text}" if self.key else self.text


@dataclass
class _Run:
    source: Access
    target: Access
    options: list[str]
    on_copied: OnCopied
    stop: Stop
    live: bool
    copied_keys: set[str] = field(default_factory=set)
    vanished_keys: set[str] = field(default_factory=set)  # that vanished or changed, according to rclone's errors

    def run_with_retries(self, verb: list[str], stdin: bytes = b"") -> CopyResult:
        """The totals of all attempts, since objects that a failed attempt has copied stay copied.

        Raises: UnreachableError, MigrationError after the last attempt; InterruptedByUserError.
        """
        copied = CopyResult(0, 0, 0)
        errors: list[_Error] = []
        for _ in range(_ATTEMPTS):
            self.stop.check()
            source, target = self.source(), self.target()
            code, attempt, errors = self._run_rclone(source, target, verb, stdin)
            copied += attempt
            if code == 0:
                return copied
            vanished = {error.key for error in errors if error.key}
            if self.live and vanished and all(error.is_harmless for error in errors):
                self.vanished_keys |= vanished - self.copied_keys
                return copied
        raise _copy_error(source, target, code, errors)

    def copy_regardless(self, to_copy: Sequence[str], *, delete: bool) -> CopyResult:
        """Copy these keys whatever their size and time. rclone does not accept some keys in a list: if `delete`, those
        are deleted at the target first, so that a normal copy includes them.
        """
        listable = [key for key in to_copy if keys.is_listable(key)]
        verb = ["copy", "--ignore-times", "--no-traverse", "--files-from0=-"]
        copied = CopyResult(0, 0, 0)
        if listable:
            copied += self.run_with_retries(verb, "\0".join(listable).encode())  # NUL is in no key
        not_listable = [key for key in to_copy if not keys.is_listable(key)] if delete else []
        if not_listable:
            delete_objects(self.target(), not_listable)
            copied += self.run_with_retries(["copy"])
        return copied

    def _run_rclone(
        self, source: ObjectAccess, target: ObjectAccess, verb: list[str], stdin: bytes
    ) -> tuple[int, CopyResult, list[_Error]]:
        paths = (_rclone_path("SOURCE", source), _rclone_path("TARGET", target))
        command = [str(tools.find("rclone")), *verb, *_OPTIONS, *self.options, *paths]
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("RCLONE_", "AWS_"))}
        environment |= remote_environment("SOURCE", source) | remote_environment("TARGET", target)
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            # a pipe: if this process is killed, rclone fails to write its next line of log, within a second, and ends
            stderr=subprocess.PIPE,
            start_new_session=True,  # so that Ctrl-C reaches only this process, which then ends rclone
        )
        try:
            assert process.stdin is not None  # noqa: S101 (PIPE above)
            process.stdin.write(stdin)
            process.stdin.close()
            stats, errors = self._read_log(process)
        finally:
            if process.poll() is None:
                process.terminate()
            code = process.wait()
            if process.stderr is not None:
                process.stderr.close()
        copied = CopyResult(int(stats.get("transfers", 0)), int(stats.get("bytes", 0)), int(stats.get("deletes", 0)))
        return code, copied, errors

    def _read_log(self, process: subprocess.Popen[bytes]) -> tuple[dict[str, Any], list[_Error]]:
        """The last statistics and all errors of rclone's log, read to its end. Raises: InterruptedByUserError."""
        stats: dict[str, Any] = {}
        errors: list[_Error] = []
        for line in process.stderr or ():
            self.stop.check()
            entry = _log_entry(line)
            if "stats" in entry:
                stats = entry["stats"]
                self.on_copied(
                    int(stats.get("bytes", 0)),
                    int(stats.get("totalBytes", 0)),
                    int(stats.get("transfers", 0)),
                    int(stats.get("totalTransfers", 0)),
                    stats.get("eta"),
                )
            elif entry.get("level") in ("error", "critical", "fatal"):
                errors.append(_Error(str(entry.get("object", "")), str(entry.get("msg", "")).strip()))
            elif _COPIED_MESSAGE.match(str(entry.get("msg", ""))):
                self.copied_keys.add(str(entry.get("object", "")))
        return stats, errors


def _copy_error(source: ObjectAccess, target: ObjectAccess, code: int, errors: Sequence[_Error]) -> MeshError:
    """The error for a copy that has failed: UnreachableError if rclone reported only stores that do not answer."""
    causes = [error for error in errors if error.key or not _SUMMARY.match(error.text)] or errors
    is_unanswered = bool(causes) and all(
        _NO_ANSWER.search(error.text) and not certificates.REFUSED.search(error.text) for error in causes
    )
    return (UnreachableError if is_unanswered else MigrationError)(
        f"copying {url(source)} to {url(target)} failed",
        why="; ".join(str(error) for error in errors[-3:]) or f"rclone ended with exit code {code}",
        hint="check both stores and run the copy again; it skips the objects that are already copied",
    )


def _rclone_path(remote: str, access: ObjectAccess) -> str:
    return f"{remote}:{access.bucket}/{access.prefix.strip('/')}".rstrip("/")


def _log_entry(line: bytes) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except ValueError:
        return {"level": "error", "msg": line.decode(errors="replace").strip()} if line.strip() else {}
    return entry if isinstance(entry, dict) else {}
