"""What the engine and the providers said -> the errors of `meshctl.errors`. PURE.

Called by `run` once a run has failed. A provider's failure ends with `[code=…]`, the API's own error code; the table
below says what a person can do about it.
"""

from __future__ import annotations

import re

from meshctl.changes.steps import resource_name, subject_of
from meshctl.clients import certificates
from meshctl.errors import (
    CredentialsError,
    EngineError,
    LockedError,
    MeshError,
    ResourceFailure,
    ResourcesFailedError,
    UnreachableError,
)
from meshctl.platforms import registry
from meshctl.words import counted

_CODE = re.compile(r"\s*\[code=([A-Za-z0-9_.-]+)\]")
_LOCK = re.compile(r"created by (\S+?)@(\S+) \(pid (\d+)\) at (\S+)")

_CAPACITY = "ask for another machine type or zone, reserve capacity (`capacity: reserved`), or try `up` again later"
_CREDENTIALS = (
    "renew the credentials (for example `aws sso login`), then run the command again: it goes on where it stopped"
)
# What a person can do, by code. Those of one platform's APIs alone are its own `words.failure_hints`.
HINTS = {
    "Capacity": _CAPACITY,
    "BucketAlreadyOwnedByYou": "the bucket was not made by this mesh: give the mesh another name, or remove the"
    " bucket if nobody needs what is in it",
    "BucketAlreadyExists": "bucket names are global and this one is somebody else's: give the mesh another name",
    "AlreadyExists": "it was not made by this mesh: remove it, or give the mesh another name",
    "BeingDeleted": "the old one is still ending, for as long as the grace period of its pods: nothing is to be "
    "removed by hand; run the command again once `kubectl get` no longer shows it",
    "NotGone": "pods that save their work end when they have; `kubectl describe` shows what else holds it. Then run "
    "the command again: it goes on from there",
    "InvalidChangeBatch": "where the zone has a record of that name that this mesh did not make: remove it, or choose "
    "another host",
    "Conflict": "something else has changed it at the same moment, or an earlier run made it in another way, which the "
    "message then says: run the command again, or delete what the message names",
    "FieldConflict": "another program has just set a field that the mesh sets, too: run the command again, which says "
    "whose it is and what can be done",
    "BucketNotEmpty": "the bucket holds data: copy elsewhere what must be kept and empty it; if all of it may be lost,"
    " the same command with --allow-data-loss deletes it",
    "NoCredentials": "set AWS_PROFILE or the environment's `profile:`; `meshctl doctor` shows what is found",
    "ExpiredToken": _CREDENTIALS,
    "ExpiredTokenException": _CREDENTIALS,
    "Unauthorized": _CREDENTIALS,
    "InvalidClientTokenId": "the access key is not known there: check AWS_PROFILE and the environment's `profile:`",
    "AccessDenied": "the credentials lack a permission that the message names",
    "UnauthorizedOperation": "the credentials lack a permission that the message names",
    "Forbidden": "the Kubernetes user lacks a permission that the message names",
    "Certificate": certificates.HINT,
    "Unreachable": "check the address and the network; nothing was changed there and the state is kept",
    "ImagePull": "check the image's name and tag, and that the nodes may pull it",
    "CrashLoop": "the container starts and ends: `kubectl logs` with `--previous` shows its last words",
    "HealthCheck": "a start that takes longer needs more time: raise `health.startup`; otherwise compare the "
    "workload's `health` (port, path, protocol) with what the program serves, and look at `kubectl logs`",
    "Unschedulable": "no node fits: compare the pool's machine with the workload's `resources`",
    "VolumeExpansion": "the storage class lets no volume grow: set `allowVolumeExpansion: true` on it if its driver "
    "can, or take the old size back",
    "VolumeShrink": "volumes can grow, not shrink: take the size back that it has, or declare a smaller storage under "
    "another name and copy the data there",
    "VolumeUnbound": "no volume was made for the claim yet, and only a bound one can be resized: delete the claim with "
    "`kubectl delete pvc`, nothing is in it",
    "ProvisioningFailed": "the claim can't bind: check the storage class and its provisioner",
    "Unanswered": "run the command again: it looks for what the interrupted run had made, before anything else",
    "Throttling": "AWS kept throttling for longer than the retries last: run the command again",
    "RequestLimitExceeded": "AWS kept throttling for longer than the retries last: run the command again",
}
_CREDENTIAL_CODES = {
    "Certificate",
    "NoCredentials",
    "ExpiredToken",
    "ExpiredTokenException",
    "Unauthorized",
    "InvalidClientTokenId",
}
# of an API that did not answer, or not now: the same run may well succeed a little later
PASSING_CODES = frozenset(
    {
        *("Unreachable", "HTTP500", "HTTP502", "HTTP503", "HTTP504"),
        *("Throttling", "ThrottlingException", "ThrottledException", "RequestLimitExceeded", "RequestThrottled"),
        *("TooManyRequests", "TooManyRequestsException", "SlowDown", "PriorRequestNotComplete", "RequestTimeout"),
        *("InternalError", "InternalFailure", "ServiceUnavailable", "ServerTimeout", "Unavailable"),
    }
)
_GENERIC = {"Timeout", "NotReady"}
_SEEN = (
    ("FieldConflict", re.compile(r"Apply failed with \d+ conflict")),
    ("BeingDeleted", re.compile(r"object is being deleted")),
    ("VolumeExpansion", re.compile(r"only dynamically provisioned pvc can be resized")),
    ("VolumeShrink", re.compile(r"resources\.requests\.storage: Forbidden: field can not be less than")),
    ("VolumeUnbound", re.compile(r"spec is immutable after creation except resources\.requests")),
    ("ImagePull", re.compile(r"ImagePullBackOff|ErrImagePull|InvalidImageName")),
    ("CrashLoop", re.compile(r"CrashLoopBackOff")),
    ("ProvisioningFailed", re.compile(r"ProvisioningFailed|unbound immediate PersistentVolumeClaims")),
    ("Unschedulable", re.compile(r"Unschedulable|nodes are available")),
    ("HealthCheck", re.compile(r"\[code=HealthCheck\]")),
)
# the official kubernetes plugin sends its users to a page about annotations, which a mesh does not have
_PLUGIN_ADVICE = re.compile(r"\s*See https://www\.pulumi\.com/\S+ for troubleshooting help\.?")
# how the engine's own HTTP clients say it, of the store that the state is in
_SILENT_BACKEND = re.compile(
    r"dial tcp|i/o timeout|connection re(fused|set)|no such host|TLS handshake timeout|unexpected EOF"
    r"|RequestError: send request failed|context deadline exceeded|SlowDown"
    r"|StatusCode: (429|500|502|503|504)|status code: 50[0234]"
)
_NOISE = re.compile(r"^(update|preview|destroy) failed$|^\d+ errors? occurred:?$", re.IGNORECASE)


def without_code(message: str) -> str:
    """The message as a person reads it: `[code=…]` is for programs."""
    return _CODE.sub("", message)


def resource_failures(
    diagnostics: list[tuple[str, str, str]], failed: list[str], platform: str = ""
) -> list[ResourceFailure]:
    """One failure for each resource that has an error, in the order they were said; the engine's own echo left
    out."""
    failures: dict[str, ResourceFailure] = {}
    for urn, severity, message in diagnostics:
        if severity != "error" or not urn or _NOISE.search(message.strip()):
            continue
        failures.setdefault(urn, failure_of(urn, message, platform))
    for urn in failed:
        failures.setdefault(urn, ResourceFailure(subject_of(urn), urn, "failed, and the provider said nothing"))
    return list(failures.values())


def failure_of(urn: str, message: str, platform: str = "") -> ResourceFailure:
    """A failure with the code that says most: a wait that ran out names, among its reasons, what it waited for.
    `platform`: whose APIs were called; "" for none in particular."""
    codes = [code for code in _CODE.findall(message) if code not in _GENERIC]
    seen = next((name for name, pattern in _SEEN if pattern.search(message)), "")
    given = _CODE.findall(message)
    code = seen or (codes[0] if codes else "") or (given[0] if given else "")
    if code == "Unreachable" and certificates.REFUSED.search(message):
        code = "Certificate"
    text = " ".join(_PLUGIN_ADVICE.sub("", _CODE.sub("", message)).split())
    return ResourceFailure(subject_of(urn), urn, text, code, _hint(code, platform))


def _hint(code: str, platform: str) -> str:
    own = registry.platform(platform).words.failure_hints if platform else {}
    return own.get(code) or HINTS.get(code, "")


def error_of(
    stack: str,
    operation: str,
    stderr: str,
    diagnostics: list[tuple[str, str, str]],
    failed: list[str],
    platform: str = "",
) -> MeshError:
    """The error for a run that failed; `stderr` is the pulumi program's, `platform` as for `failure_of`."""
    lock = lock_owner(stderr)
    if lock is not None:
        user, host, pid, since = lock
        return LockedError(
            f"{stack} is being changed by {user} on {host} (pid {pid}) since {since}",
            why="the state is locked so that two changes can't overlap",
            hint="wait for it to end; if it is gone for good: the same command with --break-lock",
        )
    failures = resource_failures(diagnostics, failed, platform)
    if not failures:
        return _engine_error(stack, operation, stderr, diagnostics)
    first = failures[0]
    others = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
    name = resource_name(first.urn)
    kind = _kind_of(failures)
    if kind is not None:
        return kind(f"{operation} {stack}: {name}: {first.message}{others}", why=_code_text(first), hint=first.hint)
    return ResourcesFailedError(
        f"{operation} {stack}: {counted(len(failures), 'resource')} failed: {name}{others}",
        failures=failures,
        why=f"{first.message}{' ' + _code_text(first) if first.code else ''}",
        hint=first.hint or _again(operation, stack),
    )


def _again(operation: str, stack: str) -> str:
    if operation == "plan":
        return "mend the cause, then run it again; nothing was changed"
    return f"what was made is kept: mend the cause and run `meshctl {operation} {stack}` again"


def _kind_of(failures: list[ResourceFailure]) -> type[MeshError] | None:
    codes = {failure.code for failure in failures}
    if codes <= _CREDENTIAL_CODES:
        return CredentialsError
    return UnreachableError if codes == {"Unreachable"} else None


def _code_text(failure: ResourceFailure) -> str:
    return f"[{failure.code}]" if failure.code else ""


def _engine_error(stack: str, operation: str, stderr: str, diagnostics: list[tuple[str, str, str]]) -> MeshError:
    said = [message for _, severity, message in diagnostics if severity == "error"]
    text = next((line for message in said for line in message.splitlines() if line.strip()), "")
    # the Automation API hands on "code: …", "stdout: …" and "stderr: …", each with what follows on the same line
    lines = [line.strip().removeprefix("stderr:").strip() for line in stderr.splitlines()]
    text = text or next((line for line in lines if line.startswith("error:")), "") or " ".join(stderr.split())[:300]
    if certificates.REFUSED.search(text):
        what = f"{operation} {stack}: a certificate was refused"
        return CredentialsError(what, why=text.removeprefix("error: "), hint=certificates.HINT)
    if (
        _SILENT_BACKEND.search(text) and "error while dialing" not in text.lower()
    ):  # that one is of a provider's program
        return UnreachableError(
            f"{operation} {stack}: the state's backend does not answer",
            why=text.removeprefix("error: "),
            hint="check `state.backend` and the network; the state is kept",
        )
    hint = ""
    if "passphrase" in text:
        hint = "the passphrase differs from the one that the state was made with: set PULUMI_CONFIG_PASSPHRASE"
    return EngineError(
        f"{operation} {stack} failed", why=text.removeprefix("error: ") or "the engine said nothing", hint=hint
    )


def lock_owner(stderr: str) -> tuple[str, str, int, str] | None:
    """(user, host, pid, since) of the state's lock, where the failure is that the stack is locked."""
    if "currently locked by" not in stderr:
        return None
    found = _LOCK.search(stderr)
    if found is None:
        return "someone", "another host", 0, "an unknown time"
    return found.group(1), found.group(2), int(found.group(3)), found.group(4)
