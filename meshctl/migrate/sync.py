"""Copies one object store to another with rclone. EDGE.

Called by the copy steps. rclone gets both stores as remotes SOURCE and TARGET through its environment: no credential is
in an argument list or on disk, and the user's own rclone settings play no part. A copy that was cut off is simply run
again: what is there already (same size and time) is passed over. Times tell whole seconds apart, so the checksums
that listings give are compared in the end.

Live: while the source runs, objects vanish and change under the copy. That is no failure of a seed, since the sync
after the source stopped copies what is left; there everything must succeed.

Deleting: that sync makes the target's prefix equal to the source's, deletions included, since an object that the source
dropped after the seed must not come back to life. That is safe because planning refuses a target that holds anything
else, unless the user said to replace it. A copy back to the source never deletes.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from meshctl import tools
from meshctl.engine.object_access import ObjectAccess
from meshctl.errors import MigrationError
from meshctl.migrate.listing import list_objects, overlooked
from meshctl.migrate.progress import OnCopied, Stop

Access = Callable[[], ObjectAccess]  # asked anew for each attempt: session tokens expire
_ATTEMPTS = 3
_CHANGED = re.compile(
    r"NoSuchKey|not found|404|differ|being updated|Attempt \d|failed with \d+ error|not deleting", re.IGNORECASE
)  # what rclone says of objects that vanished or changed while it copied, and its summaries
_OPTIONS = (
    "--config=",  # no file
    "--metadata",  # content type and user metadata go along
    "--transfers=16",
    "--checkers=32",
    "--s3-upload-concurrency=8",
    "--s3-chunk-size=16Mi",
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


def copy(
    source: Access,
    target: Access,
    *,
    delete: bool,
    live: bool = False,
    again: Sequence[str] = (),
    on_copied: OnCopied | None = None,
    stop: Stop | None = None,
) -> Copied:
    """Bring `target` up to date with `source`; then copy the keys of `again` whatever their size and time.

    Raises: MigrationError with rclone's own words after three attempts, InterruptedByUserError.
    """
    verb = "sync" if delete else "copy"
    run = _Run(on_copied or (lambda *_: None), stop or Stop(), live=live)
    first = run.attempts(source, target, [verb])
    if not live:
        again = sorted({*again, *overlooked(list_objects(source()), list_objects(target()))})
    if not again:
        return first
    # NUL between keys: they may hold anything else
    second = run.attempts(source, target, ["copy", "--ignore-times", "--files-from0=-"], "\0".join(again).encode())
    return Copied(first.objects + second.objects, first.total_bytes + second.total_bytes, first.deleted)


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


@dataclass
class _Run:
    on_copied: OnCopied
    stop: Stop
    live: bool

    def attempts(self, source: Access, target: Access, verb: list[str], stdin: bytes = b"") -> Copied:
        errors: list[str] = []
        for _ in range(_ATTEMPTS):
            self.stop.check()
            here, there = source(), target()
            done, errors = self._once(here, there, verb, stdin)
            if done is not None:
                return done
        raise MigrationError(
            f"copying s3://{here.bucket} to s3://{there.bucket} failed",
            why="; ".join(errors[-3:]) or "rclone gave no reason",
            hint="check both stores; what is copied already is not copied again",
        )

    def _once(
        self, source: ObjectAccess, target: ObjectAccess, verb: list[str], stdin: bytes
    ) -> tuple[Copied | None, list[str]]:
        command = [str(tools.find("rclone")), *verb, *_OPTIONS, _place("SOURCE", source), _place("TARGET", target)]
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
        if code != 0 and not (self.live and errors and all(_CHANGED.search(error) for error in errors)):
            return None, errors or [f"rclone ended with code {code}"]
        return Copied(int(stats.get("transfers", 0)), int(stats.get("bytes", 0)), int(stats.get("deletes", 0))), []

    def _follow(self, process: subprocess.Popen[bytes]) -> tuple[dict[str, Any], list[str]]:
        """Read the log to its end. Raises: InterruptedByUserError."""
        stats: dict[str, Any] = {}
        errors: list[str] = []
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
                errors.append(" ".join(str(part) for part in (entry.get("object"), entry.get("msg")) if part).strip())
        return stats, errors


def _place(remote: str, access: ObjectAccess) -> str:
    return f"{remote}:{access.bucket}/{access.prefix.strip('/')}".rstrip("/")


def _entry(line: bytes) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except ValueError:
        return {"level": "error", "msg": line.decode(errors="replace").strip()} if line.strip() else {}
    return entry if isinstance(entry, dict) else {}
