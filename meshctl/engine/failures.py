"""Converts the output of a failed run, from engine and providers, to the errors of `meshctl.errors`. PURE.

Called by `run`. A provider's message ends with `[code=…]`, the API's own error code; the table below has the hint for
each code.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from meshctl.changes.steps import resource_name, subject_of
from meshctl.clients import certificates
from meshctl.clients.kubernetes import scheduling
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
from meshctl.words import pluralize

_CODE = re.compile(r"\s*\[code=([A-Za-z0-9_.-]+)\]")
_LOCK = re.compile(r"created by (\S+?)@(\S+) \(pid (\d+)\) at (\S+)")

_CAPACITY = "ask for another machine type or zone, reserve capacity (`capacity: reserved`), or try `up` again later"
_CREDENTIALS = (
    "renew the credentials (for example with `aws sso login`), then run the command again: it goes on where it stopped"
)
# The hint for each code. Codes of one platform's APIs are in its own `words.failure_hints`.
HINTS = {
    "Capacity": _CAPACITY,
    "NotOffered": "take the zone out of the environment's `zones` if nothing is up there, or ask for another machine: "
    "which zones have which type differs from account to account",
    "BucketAlreadyOwnedByYou": "this mesh did not make the bucket: give the mesh another name, or remove the bucket"
    " if nobody needs its content",
    "BucketAlreadyExists": "bucket names are global, and somebody else owns this one: give the mesh another name",
    "AlreadyExists": "this mesh did not make it: remove it, or give the mesh another name",
    "BeingDeleted": "the old object is still being deleted, which takes as long as the grace period of its pods: "
    "remove nothing by hand; run the command again once `kubectl get` no longer shows it",
    "NotGone": "pods that save their work at the end may need longer; `kubectl describe` shows what else keeps it from "
    "being deleted. Then run the command again: it goes on from there",
    "InvalidChangeBatch": "if the zone has a record of that name that this mesh did not make, remove the record, or "
    "choose another host",
    "Conflict": "another program has changed it at the same moment, or an earlier run has made it differently, as "
    "the message then says: run the command again, or delete what the message names",
    "FieldConflict": "another program has just set a field that the mesh sets, too: run the command again, which says "
    "who owns the field and what you can do",
    "BucketNotEmpty": "the bucket holds data: copy what you need elsewhere and empty the bucket; if all of it may be "
    "lost, the same command with --allow-data-loss deletes it",
    "NoCredentials": "set AWS_PROFILE or the environment's `profile:`; `meshctl doctor` shows what is used",
    "ExpiredToken": _CREDENTIALS,
    "ExpiredTokenException": _CREDENTIALS,
    "Unauthorized": _CREDENTIALS,
    "InvalidClientTokenId": "AWS does not know the access key: check AWS_PROFILE and the environment's `profile:`",
    "AccessDenied": "the credentials lack a permission that the message names",
    "UnauthorizedOperation": "the credentials lack a permission that the message names",
    "Forbidden": "the Kubernetes user lacks a permission that the message names",
    "Certificate": certificates.HINT,
    "Unreachable": "check the address and the network; nothing was changed there, and the state is saved",
    "ImagePull": "check the image's name and tag, and that the nodes may pull it",
    "CrashLoop": "the container starts and exits: `kubectl logs --previous` shows its last lines",
    "HealthCheck": "a start that takes longer needs more time: raise `health.startup`; otherwise compare the "
    "workload's `health` (port, path, protocol) with what the program serves, and look at `kubectl logs`",
    "Unschedulable": "no node takes the pod: `kubectl describe pod` shows whether they are too small, full or tainted",
    "SchedulingGated": "the pod is held until all pods of its gang can start: `meshctl status` says what it waits "
    "for, `kubectl logs deploy/meshctl-gang-hold` in the mesh's namespace what the program that releases it says",
    "VolumeExpansion": "the storage class does not allow expansion: set `allowVolumeExpansion: true` on it if its "
    "driver supports that, or set the old size again",
    "VolumeShrink": "volumes can grow but not shrink: set the size that it has again, or declare a smaller storage "
    "under another name and copy the data there",
    "VolumeUnbound": "no volume was made for the claim yet, and only a bound claim can be resized: delete the claim "
    "with `kubectl delete pvc`, it has no data",
    "ProvisioningFailed": "the claim can't bind: check the storage class and its provisioner",
    "NoAddress": "nothing in the cluster gives a Service of type LoadBalancer an address, or it has none left: "
    "`kubectl describe service` shows what it says. On nodes of your own install a load balancer controller, such as "
    "MetalLB with a pool of addresses (https://metallb.io), and run the command again; or take the endpoint out of the "
    "mesh and use `kubectl port-forward`",
    "CertificateNotIssued": "`kubectl describe certificates,certificaterequests,orders,challenges` in the mesh's "
    "namespace shows what cert-manager waits for. The ClusterIssuer must be ready and prove the host by DNS (`dns01`), "
    "as the name does not lead there yet",
    "WekaDrives": "WEKA starts once enough drives of its nodes are signed: `kubectl describe wekapolicies` in the "
    "mesh's namespace shows on which nodes signing failed, `kubectl get nodes -o custom-columns="
    "NAME:.metadata.name,DRIVES:.status.allocatable.weka\\.io/drives` how many drives each has. A drive with "
    "partitions of others is not signed: empty it, or name the drives. Then run the command again",
    "WekaNotReady": "the vendor calls a cluster that is not Ready within ten minutes failed: `kubectl get "
    "wekacontainers,pods` in the mesh's namespace shows which containers are missing, `kubectl describe` why (huge "
    "pages, network interfaces, the pull secret). What was made is kept: fix the cause and run the command again",
    "WekaLeaving": "somebody has deleted it: `kubectl patch wekacluster NAME --type=merge "
    '-p \'{"spec":{"overrides":{"cancelDeletion":true}}}\'` in the mesh\'s namespace brings it back with its data '
    "while it is in GracePeriod; once it is gone, the command makes a new, empty one",
    "Unanswered": "run the command again: first of all it looks for what the interrupted run has made",
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
# There are no such machines at the moment, on any platform.
CAPACITY_CODES = frozenset({"Capacity"})
# Codes of an API that did not answer, or was busy: the same run may succeed a little later.
PASSING_CODES = frozenset(
    {
        *("Unreachable", "HTTP500", "HTTP502", "HTTP503", "HTTP504"),
        *("Throttling", "ThrottlingException", "ThrottledException", "RequestLimitExceeded", "RequestThrottled"),
        *("TooManyRequests", "TooManyRequestsException", "SlowDown", "PriorRequestNotComplete", "RequestTimeout"),
        *("InternalError", "InternalFailure", "ServiceUnavailable", "ServerTimeout", "Unavailable"),
    }
)
_GENERIC = {"Timeout", "NotReady"}
_CODES_BY_TEXT = (
    ("NotOffered", re.compile(r"is not supported in your requested Availability Zone")),
    ("InvalidSubnetID.NotFound", re.compile(r"subnet ID '[^']+' does not exist")),  # as EKS passes it on
    ("FieldConflict", re.compile(r"Apply failed with \d+ conflict")),
    ("WekaDrives", re.compile(r"WekaCluster\b.*WaitForDrives", re.DOTALL)),
    ("WekaNotReady", re.compile(r"WekaCluster\b.*(is not ready after|[Tt]imed out|\[code=Timeout\])", re.DOTALL)),
    ("BeingDeleted", re.compile(r"object is being deleted")),
    ("VolumeExpansion", re.compile(r"only dynamically provisioned pvc can be resized")),
    ("VolumeShrink", re.compile(r"resources\.requests\.storage: Forbidden: field can not be less than")),
    ("VolumeUnbound", re.compile(r"spec is immutable after creation except resources\.requests")),
    ("ImagePull", re.compile(r"ImagePullBackOff|ErrImagePull|InvalidImageName")),
    ("CrashLoop", re.compile(r"CrashLoopBackOff")),
    ("ProvisioningFailed", re.compile(r"ProvisioningFailed|unbound immediate PersistentVolumeClaims")),
    ("SchedulingGated", re.compile(r"SchedulingGated|non-empty scheduling gates")),
    ("Unschedulable", re.compile(r"Unschedulable|nodes are available")),
    # as the stand-in and the official plugin say it
    ("NoAddress", re.compile(r"no address has been assigned yet|Service was not allocated an IP address")),
    ("HealthCheck", re.compile(r"\[code=HealthCheck\]")),
    ("CertificateNotIssued", re.compile(r"^(resource )?Certificate \S+.*\bReady\b", re.DOTALL)),
)
# The official kubernetes plugin refers to a page about annotations, which a mesh does not have.
_PLUGIN_ADVICE = re.compile(r"\s*See https://www\.pulumi\.com/\S+ for troubleshooting help\.?")
# Messages of the engine's own HTTP clients when the store of the state does not answer.
_SILENT_BACKEND = re.compile(
    r"dial tcp|i/o timeout|connection re(fused|set)|no such host|TLS handshake timeout|unexpected EOF"
    r"|RequestError: send request failed|context deadline exceeded|SlowDown"
    r"|StatusCode: (429|500|502|503|504)|status code: 50[0234]"
)
_NOISE = re.compile(r"^(update|preview|destroy) failed$|^\d+ errors? occurred:?$", re.IGNORECASE)


def without_code(message: str) -> str:
    """The message for a person, without `[code=…]`, and with the scheduler's list of nodes in words."""
    return _CODE.sub("", scheduling.in_words(message))


def resource_failures(
    diagnostics: list[tuple[str, str, str]], failed: list[str], platform: str = ""
) -> list[ResourceFailure]:
    """One failure for each resource with an error, in order of the messages, without the engine's summary lines."""
    failures: dict[str, ResourceFailure] = {}
    for urn, severity, message in diagnostics:
        if severity != "error" or not urn or _NOISE.search(message.strip()):
            continue
        failures.setdefault(urn, failure_of(urn, message, platform))
    for urn in failed:
        failures.setdefault(urn, ResourceFailure(subject_of(urn), urn, "failed, and its provider gave no reason"))
    return list(failures.values())


def failure_of(urn: str, message: str, platform: str = "") -> ResourceFailure:
    """A failure with its most specific code: the message of a wait that timed out also has the code of the reason.

    `platform`: the platform whose APIs were called; "" for none in particular.
    """
    codes = [code for code in _CODE.findall(message) if code not in _GENERIC]
    from_text = next((name for name, pattern in _CODES_BY_TEXT if pattern.search(message)), "")
    all_codes = _CODE.findall(message)
    code = from_text or next(iter([*codes, *all_codes]), "")
    if code == "Unreachable" and certificates.REFUSED.search(message):
        code = "Certificate"
    if code not in HINTS:
        code = _code_within(message, platform) or code
    text = " ".join(_PLUGIN_ADVICE.sub("", without_code(message)).split())
    scheduler = scheduling.hint(message) if code == "Unschedulable" else ""
    return ResourceFailure(subject_of(urn), urn, text, code, scheduler or _hint(code, platform))


def _code_within(message: str, platform: str) -> str:
    """The error code of another API that the message quotes; "" unless the platform has a hint for it."""
    return next((code for code in _own_hints(platform) if re.search(rf"(?<![\w.]){re.escape(code)}\b", message)), "")


def _hint(code: str, platform: str) -> str:
    return _own_hints(platform).get(code) or HINTS.get(code, "")


def _own_hints(platform: str) -> Mapping[str, str]:
    return registry.platform(platform).words.failure_hints if platform else {}


def error_of(
    stack: str,
    operation: str,
    stderr: str,
    diagnostics: list[tuple[str, str, str]],
    failed: list[str],
    platform: str = "",
) -> MeshError:
    """The error of a failed run. `stderr` is that of the pulumi program; `platform` as for `failure_of`."""
    lock = lock_owner(stderr)
    if lock is not None:
        user, host, pid, since = lock
        return LockedError(
            f"{stack} is being changed by {user} on {host} (pid {pid}) since {since}",
            why="the state is locked so that two runs can't change it at the same time",
            hint="wait for that run to end; if it is gone for good, repeat the command with --break-lock",
        )
    failures = resource_failures(diagnostics, failed, platform)
    if not failures:
        return _engine_error(stack, operation, stderr, diagnostics)
    first = failures[0]
    more = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
    name = resource_name(first.urn)
    kind = _kind_of(failures)
    if kind is not None:
        return kind(f"{operation} {stack}: {name}: {first.message}{more}", why=_code_text(first), hint=first.hint)
    return ResourcesFailedError(
        f"{operation} {stack}: {pluralize(len(failures), 'resource')} failed: {name}{more}",
        failures=failures,
        why=f"{first.message}{' ' + _code_text(first) if first.code else ''}",
        hint=first.hint or _again(operation, stack),
    )


def _again(operation: str, stack: str) -> str:
    if operation == "plan":
        return "fix the cause, then run it again; nothing was changed"
    return f"what was made is kept: fix the cause and run `meshctl {operation} {stack}` again"


def _kind_of(failures: list[ResourceFailure]) -> type[MeshError] | None:
    codes = {failure.code for failure in failures}
    if codes <= _CREDENTIAL_CODES:
        return CredentialsError
    return UnreachableError if codes == {"Unreachable"} else None


def _code_text(failure: ResourceFailure) -> str:
    return f"[{failure.code}]" if failure.code else ""


def _engine_error(stack: str, operation: str, stderr: str, diagnostics: list[tuple[str, str, str]]) -> MeshError:
    errors = [message for _, severity, message in diagnostics if severity == "error"]
    text = next((line for message in errors for line in message.splitlines() if line.strip()), "")
    # the Automation API's text has "code: …", "stdout: …" and "stderr: …", each with its content on the same line
    lines = [line.strip().removeprefix("stderr:").strip() for line in stderr.splitlines()]
    text = text or next((line for line in lines if line.startswith("error:")), "") or " ".join(stderr.split())[:300]
    if certificates.REFUSED.search(text):
        what = f"{operation} {stack}: a certificate was refused"
        return CredentialsError(what, why=text.removeprefix("error: "), hint=certificates.HINT)
    # "error while dialing" is about a provider's process, not about the backend
    if _SILENT_BACKEND.search(text) and "error while dialing" not in text.lower():
        return UnreachableError(
            f"{operation} {stack}: the state's backend does not answer",
            why=text.removeprefix("error: "),
            hint="check `state.backend` and the network; the state is unchanged",
        )
    hint = ""
    if "passphrase" in text:
        hint = "the passphrase is not the one that encrypted the state: set PULUMI_CONFIG_PASSPHRASE"
    return EngineError(
        f"{operation} {stack} failed", why=text.removeprefix("error: ") or "the engine gave no reason", hint=hint
    )


def lock_owner(stderr: str) -> tuple[str, str, int, str] | None:
    """(user, host, pid, since) of the state's lock, if the run failed because the stack is locked."""
    if "currently locked by" not in stderr:
        return None
    match = _LOCK.search(stderr)
    if match is None:
        return "someone", "another host", 0, "an unknown time"
    return match.group(1), match.group(2), int(match.group(3)), match.group(4)
