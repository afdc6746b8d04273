"""Copies one object store to another with rclone. EDGE.

Called by the copy steps. rclone gets both stores as remotes SOURCE and TARGET through its environment: no credential is
in an argument list or on disk, and the user's own rclone settings play no part. A copy that was cut off is simply run
again: what is there already (same size and time) is passed over. Times tell whole seconds apart, so the checksums
that listings give are compared in the end. Objects without such a checksum: `seeded`.

Live: while the source runs, objects vanish and change under the copy. That is no failure of a seed, since the sync
after the source stopped copies what is left; there everything must succeed. What was at the source before the seed and
still is, unchanged, must be at the target after it.

Deleting: that sync makes the target's prefix equal to the source's, deletions included, since an object that the source
dropped after the seed must not come back to life. That is safe because planning refuses a target that holds anything
else, unless the user said to replace it. A copy back to the source never deletes.
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
from meshctl.errors import MigrationError, UnreachableError
from meshctl.objects import keys, metadata, seeded
from meshctl.objects.listing import RCLONE_PART, Access, Listing, delete_objects, list_objects, overlooked, url
from meshctl.objects.progress import OnCopied, Stop
from meshctl.objects.store import ObjectAccess
from meshctl.words import pluralize

_ATTEMPTS = 3
# what rclone says of an object that vanished or changed while it copied
_CHANGED = re.compile(r"NoSuchKey|api error NotFound|object not found|InvalidRange|differ|being updated", re.IGNORECASE)
# what it says of a store that did not answer, or not now
_SILENT = re.compile(
    r"dial tcp|i/o timeout|connection re(fused|set)|broken pipe|no such host|TLS handshake timeout|unexpected EOF"
    r"|request send failed|StatusCode: (429|500|502|503|504)\b|SlowDown|RequestTimeout",
    re.IGNORECASE,
)
_SUMMARY = re.compile(r"Attempt \d|Failed to |not deleting", re.IGNORECASE)  # of errors that it told before
_SENT = re.compile(r"(Multi-thread )?Copied")
_OPTIONS = (
    "--config=",  # no file
    "--metadata",  # content type and user metadata go along
    "--s3-encoding=Raw",  # keys as they are: names that are no file names, or hold rclone's escapes, get lost otherwise
    "--no-unicode-normalization",  # two spellings of one name are two objects
    "--no-update-modtime",  # would make the target's objects look newer than the source's without copying anything
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
class Copied:
    """What one copy did."""

    objects: int
    total_bytes: int
    deleted: int
    etags: seeded.ETags = field(default_factory=dict)  # of a live copy: see `seeded.noted`

    def __add__(self, other: Copied) -> Copied:
        numbers = self.objects + other.objects, self.total_bytes + other.total_bytes, self.deleted + other.deleted
        return Copied(*numbers)


def copy(
    source: Access,
    target: Access,
    *,
    delete: bool,
    live: bool = False,
    again: Sequence[str] = (),
    since: float = 0.0,
    known: seeded.ETags | None = None,
    on_copied: OnCopied | None = None,
    stop: Stop | None = None,
) -> Copied:
    """Bring `target` up to date with `source`; then copy the keys of `again` whatever their size and time, and those
    written since (seconds since the epoch) whose content type or metadata alone changed. Of the objects in `known`,
    those that are as the seed left them are passed over, whatever their time.

    Raises: MigrationError with rclone's own words after three attempts, or with keys that were not or can't be copied;
    NoBucketError, InterruptedByUserError.
    """
    before = list_objects(source())
    keys.check_carried(url(source()), before)
    at_target = list_objects(target())
    options = keys.options(chain(before, at_target))
    passed = seeded.unchanged(known or {}, before, at_target)
    run = _Run(source, target, options, on_copied or (lambda *_: None), stop or Stop(), live=live)
    if not live:
        before = {}  # listings are large
    verb = ["sync" if delete else "copy"]
    if passed:
        verb.append("--exclude-from=-")  # what is excluded is not deleted either
    copied = run.attempts(verb, "".join(f"/{key}\n" for key in passed).encode())
    here, there = list_objects(source()), list_objects(target())
    if live:
        copied = replace(copied, etags=seeded.noted(before, here, there))
        _check_seeded(source(), target(), _left_out(before, here, there, run.failed))
    looked_at = metadata.candidates(here, there, run.sent, since)
    described = metadata.changed(source(), target(), looked_at, run.stop)
    wanted = described if live else sorted({*again, *overlooked(here, there), *described})
    return replace(copied + run.again(wanted, delete=delete), etags=copied.etags) if wanted else copied


def _left_out(before: Listing, here: Listing, there: Listing, failed: Container[str]) -> list[str]:
    """What was at the source all the time, and is not at the target or could not be copied there. PURE."""
    stayed = (key for key, item in before.items() if here.get(key) == item)
    return sorted(key for key in stayed if key in failed or key not in there or there[key].size != here[key].size)


def _check_seeded(source: ObjectAccess, target: ObjectAccess, left: Sequence[str]) -> None:
    if left:
        raise MigrationError(
            f"{pluralize(len(left), 'object')} of {url(source)} did not arrive at {url(target)}",
            why=f"unchanged at the source since the copy began: {keys.shown(left)}",
            hint="if copying again does not help, the target may not take such keys: rename or delete them",
        )


def remote_environment(name: str, access: ObjectAccess) -> dict[str, str]:
    """rclone's settings of one remote (https://rclone.org/docs/#environment-variables)."""
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
        "NO_CHECK_BUCKET": "true",  # buckets are made by `up`; keys that may only read and write objects are enough
    }
    return {f"RCLONE_CONFIG_{name}_{key}": value for key, value in settings.items() if value}


def _is_virtual(access: ObjectAccess) -> bool:
    return access.addressing == "virtual" or (access.addressing == "auto" and not access.endpoint)


@dataclass(frozen=True)
class _Error:
    """A line of rclone's log. `key` is empty where it is about no object."""

    key: str
    text: str

    @property
    def harmless(self) -> bool:
        """Whether it only says that an object vanished or changed; what else it may mean shows in the listings."""
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
    sent: set[str] = field(default_factory=set)  # keys that rclone copied
    failed: set[str] = field(default_factory=set)  # keys that vanished or changed, as rclone saw it

    def attempts(self, verb: list[str], stdin: bytes = b"") -> Copied:
        """The counts of all attempts: what a failed one copied is copied."""
        copied = Copied(0, 0, 0)
        errors: list[_Error] = []
        for _ in range(_ATTEMPTS):
            self.stop.check()
            here, there = self.source(), self.target()
            code, done, errors = self._once(here, there, verb, stdin)
            copied += done
            if code == 0:
                return copied
            vanished = {error.key for error in errors if error.key}
            if self.live and vanished and all(error.harmless for error in errors):
                self.failed |= vanished - self.sent
                return copied
        told = [error for error in errors if error.key or not _SUMMARY.match(error.text)] or errors
        silent = bool(told) and all(
            _SILENT.search(error.text) and not certificates.REFUSED.search(error.text) for error in told
        )
        raise (UnreachableError if silent else MigrationError)(
            f"copying {url(here)} to {url(there)} failed",
            why="; ".join(str(error) for error in errors[-3:]) or f"rclone ended with code {code}",
            hint="check both stores; what is copied already is not copied again",
        )

    def again(self, wanted: Sequence[str], *, delete: bool) -> Copied:
        """Copy these keys whatever their size and time. rclone can't be told of some keys: at a target that becomes
        equal to the source these are deleted, so that they are missing and copied.
        """
        listable = [key for key in wanted if keys.listable(key)]
        verb = ["copy", "--ignore-times", "--no-traverse", "--files-from0=-"]
        copied = Copied(0, 0, 0)
        if listable:
            copied += self.attempts(verb, "\0".join(listable).encode())  # keys may hold anything but NUL
        others = [key for key in wanted if not keys.listable(key)] if delete else []
        if others:
            delete_objects(self.target(), others)
            copied += self.attempts(["copy"])
        return copied

    def _once(
        self, source: ObjectAccess, target: ObjectAccess, verb: list[str], stdin: bytes
    ) -> tuple[int, Copied, list[_Error]]:
        places = (_place("SOURCE", source), _place("TARGET", target))
        command = [str(tools.find("rclone")), *verb, *_OPTIONS, *self.options, *places]
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("RCLONE_", "AWS_"))}
        environment |= remote_environment("SOURCE", source) | remote_environment("TARGET", target)
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            # a pipe: should this process be killed, rclone ends at its next line, within a second
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is ours to pass on
        )
        try:
            assert process.stdin is not None  # noqa: S101 (PIPE above)
            process.stdin.write(stdin)
            process.stdin.close()
            stats, errors = self._follow(process)
        finally:
            if process.poll() is None:
                process.terminate()
            code = process.wait()
            if process.stderr is not None:
                process.stderr.close()
        copied = Copied(int(stats.get("transfers", 0)), int(stats.get("bytes", 0)), int(stats.get("deletes", 0)))
        return code, copied, errors

    def _follow(self, process: subprocess.Popen[bytes]) -> tuple[dict[str, Any], list[_Error]]:
        """Read the log to its end. Raises: InterruptedByUserError."""
        stats: dict[str, Any] = {}
        errors: list[_Error] = []
        for line in process.stderr or ():
            self.stop.check()
            entry = _entry(line)
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
            elif _SENT.match(str(entry.get("msg", ""))):
                self.sent.add(str(entry.get("object", "")))
        return stats, errors


def _place(remote: str, access: ObjectAccess) -> str:
    return f"{remote}:{access.bucket}/{access.prefix.strip('/')}".rstrip("/")


def _entry(line: bytes) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except ValueError:
        return {"level": "error", "msg": line.decode(errors="replace").strip()} if line.strip() else {}
    return entry if isinstance(entry, dict) else {}
