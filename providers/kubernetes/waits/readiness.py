"""Is an object ready, and if not, why? One rule for each kind. Called by `waiting` and `provider.read`. PURE.

Source of the rules: kubectl rollout status, the API reference's status fields, and the official plugin's documented
await logic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from meshwire import marks, probe_events
from providers.kubernetes.objects import TIMEOUT_SECONDS, Gvk, Json, annotation, metadata, name_of

TROUBLE: Final = frozenset(
    {
        "ImagePullBackOff", "ErrImagePull", "ErrImageNeverPull", "InvalidImageName", "ImageInspectError",
        "CrashLoopBackOff",
        "CreateContainerConfigError", "CreateContainerError", "RunContainerError", "RegistryUnavailable",
    }
)  # fmt: skip

LAST_LINE: Final = 300  # characters of what a container said last
WAIT_FOR: Final = "pulumi.com/waitFor"
EXISTS: Final = "jsonpath={.metadata.uid}"  # of that annotation: ready as soon as the API server has the object
# conditions that say, when they are False, that waiting is no use (CoreWeave's NodePool: spec rejected, no quota)
REFUSING: Final = ("Validated", "Quota")
_NO_SUCCESS: Final = ("Denied", "Failed", "InvalidRequest")  # reasons of conditions


@dataclass(frozen=True)
class Verdict:
    """`ready`: done. `failed`: it will not become ready by waiting. `message`: what is missing, one line."""

    ready: bool
    message: str = ""
    failed: bool = False
    code: str = ""


READY: Final = Verdict(ready=True)
Rule = Callable[[Json], Verdict]


def _not_yet(message: str) -> Verdict:
    return Verdict(ready=False, message=message)


def _failed(message: str, code: str) -> Verdict:
    return Verdict(ready=False, message=message, failed=True, code=code)


def part(obj: Json, key: str) -> Json:
    value = obj.get(key)
    return value if isinstance(value, dict) else {}


def condition(obj: Json, kind: str) -> Json:
    for item in part(obj, "status").get("conditions") or []:
        if item.get("type") == kind:
            return dict(item)
    return {}


def _is_true(obj: Json, kind: str) -> bool:
    return condition(obj, kind).get("status") == "True"


def _seen(obj: Json) -> bool:
    """Whether the controller has looked at the newest version of the object."""
    return int(part(obj, "status").get("observedGeneration") or 0) >= int(metadata(obj).get("generation") or 0)


def deployment(obj: Json) -> Verdict:
    spec, status = part(obj, "spec"), part(obj, "status")
    if spec.get("paused"):
        return READY
    if not _seen(obj):
        return _not_yet("waiting for the deployment controller")
    progress = condition(obj, "Progressing")
    if progress.get("reason") == "ProgressDeadlineExceeded":
        return _failed(str(progress.get("message")), "ProgressDeadlineExceeded")
    wanted, updated = int(spec.get("replicas", 1)), int(status.get("updatedReplicas") or 0)
    available = int(status.get("availableReplicas") or 0)
    if updated < wanted:
        return _not_yet(f"{updated} of {wanted} replicas are of the new version")
    if int(status.get("replicas") or 0) > updated:
        return _not_yet("old replicas still run")
    if available < wanted:
        return _not_yet(f"{available} of {wanted} replicas are available")
    return READY


def stateful_set(obj: Json) -> Verdict:
    spec, status = part(obj, "spec"), part(obj, "status")
    if part(spec, "updateStrategy").get("type") == "OnDelete":
        return READY
    if not _seen(obj):
        return _not_yet("waiting for the stateful set controller")
    # servers before 1.25 count available replicas only where they are told when a replica is
    counted, word = ("availableReplicas", "available") if spec.get("minReadySeconds") else ("readyReplicas", "ready")
    wanted, ready = int(spec.get("replicas", 1)), int(status.get(counted) or 0)
    updated = int(status.get("updatedReplicas") or 0)
    partition = int(part(part(spec, "updateStrategy"), "rollingUpdate").get("partition") or 0)
    if ready < wanted:
        return _not_yet(f"{ready} of {wanted} replicas are {word}")
    if updated < wanted - partition:
        return _not_yet(f"{updated} of {wanted - partition} replicas are of the new version")
    return READY


def daemon_set(obj: Json) -> Verdict:
    status = part(obj, "status")
    if part(part(obj, "spec"), "updateStrategy").get("type") == "OnDelete":
        return READY
    if not _seen(obj):
        return _not_yet("waiting for the daemon set controller")
    wanted, updated = int(status.get("desiredNumberScheduled") or 0), int(status.get("updatedNumberScheduled") or 0)
    available = int(status.get("numberAvailable") or 0)
    if min(updated, available) < wanted:
        return _not_yet(f"{min(updated, available)} of {wanted} pods are available and of the new version")
    return READY


def job(obj: Json) -> Verdict:
    if _is_true(obj, "Complete"):
        return READY
    failure = condition(obj, "Failed")
    if failure.get("status") == "True":
        return _failed(f"{failure.get('reason')}: {failure.get('message')}", str(failure.get("reason")))
    status = part(obj, "status")
    wanted = part(obj, "spec").get("completions") or 1
    if _is_true(obj, "Suspended"):
        return _not_yet("the job is suspended")
    return _not_yet(f"{int(status.get('succeeded') or 0)} of {wanted} pods have succeeded")


def pod(obj: Json) -> Verdict:
    phase = part(obj, "status").get("phase")
    if phase == "Succeeded" or _is_true(obj, "Ready"):
        return READY
    if phase == "Failed":
        return _failed("; ".join(pod_troubles(obj)) or "the pod failed", "Failed")
    return _not_yet(f"the pod is {phase or 'Pending'}, not Ready")


def claim(obj: Json) -> Verdict:
    phase = part(obj, "status").get("phase")
    if phase == "Bound":
        return READY
    if phase == "Lost":
        return _failed("the volume of this claim is lost", "Lost")
    return _not_yet(f"the claim is {phase or 'Pending'}, not Bound")


def volume(obj: Json) -> Verdict:
    phase = part(obj, "status").get("phase")
    if phase in {"Available", "Bound"}:
        return READY
    if phase == "Failed":
        return _failed(str(part(obj, "status").get("message") or "the volume failed"), "Failed")
    return _not_yet(f"the volume is {phase or 'Pending'}")


def goes_with_claim(volume: Json, namespace: str, claim: str = "") -> bool:
    """Whether a volume is deleted by its driver once its claim, in this namespace, is gone. `claim`: its name; "" for
    any. One that was reserved for a claim and never bound has no uid of it, and stays."""
    spec = part(volume, "spec")
    is_deleted = spec.get("persistentVolumeReclaimPolicy") == "Delete"
    reference = part(spec, "claimRef")
    is_bound = bool(reference.get("uid")) and reference.get("namespace") == namespace
    return is_deleted and is_bound and claim in ("", reference.get("name"))


def namespace(obj: Json) -> Verdict:
    phase = part(obj, "status").get("phase", "Active")
    return READY if phase == "Active" else _not_yet(f"the namespace is {phase}")


def load_balancer(obj: Json) -> Verdict:
    """A Service of type LoadBalancer or an Ingress: an address has to be assigned."""
    if obj.get("kind") == "Service" and part(obj, "spec").get("type") != "LoadBalancer":
        return READY
    if part(part(obj, "status"), "loadBalancer").get("ingress"):
        return READY
    return _not_yet("no address has been assigned yet")


def definition(obj: Json) -> Verdict:
    return READY if _is_true(obj, "Established") else _not_yet("the definition is not established yet")


def _failed_tries(obj: Json, besides: str) -> list[str]:
    """What other conditions say of a try that failed, such as the `Issuing` of cert-manager (its
    pkg/controller/certificates/issuing), which tries again by itself."""
    conditions = part(obj, "status").get("conditions") or []
    return [
        f"{each.get('type')}: {each.get('message') or each.get('reason')}"
        for each in conditions
        if each.get("type") != besides and each.get("status") == "False" and each.get("reason") in _NO_SUCCESS
    ]


def condition_rule(kind: str, value: str = "True") -> Rule:
    """The rule of the annotation `pulumi.com/waitFor: condition=KIND[=VALUE]`."""

    def judge(obj: Json) -> Verdict:
        state = condition(obj, kind)
        generation = int(metadata(obj).get("generation") or 0)
        if int(state.get("observedGeneration", generation)) < generation:
            return _not_yet(f"condition {kind} is of the object as it was before its change")
        if state.get("status") == value:
            return READY
        refused = next((item for item in REFUSING if condition(obj, item).get("status") == "False"), "")
        if refused and refused != kind:
            why = condition(obj, refused)
            return Verdict(
                ready=False, message=f"{refused}: {why.get('message') or why.get('reason')}", failed=True, code=refused
            )
        reason = state.get("message") or state.get("reason") or "not reported yet"
        return _not_yet("; ".join([f"condition {kind} is not {value}: {reason}", *_failed_tries(obj, kind)]))

    return judge


def asked_rule(obj: Json) -> Rule | None:
    """The rule that the object itself asks for. Of the annotation's forms only `condition=` and `EXISTS` are known."""
    wait_for = annotation(obj, WAIT_FOR)
    if wait_for == EXISTS:
        return lambda _: READY
    if not wait_for.startswith("condition="):
        return None
    kind, _, value = wait_for.removeprefix("condition=").partition("=")
    return condition_rule(kind, value or "True")


RULES: Final[dict[str, Rule]] = {
    "apps/v1/Deployment": deployment,
    "apps/v1/StatefulSet": stateful_set,
    "apps/v1/DaemonSet": daemon_set,
    "batch/v1/Job": job,
    "v1/Pod": pod,
    "v1/PersistentVolumeClaim": claim,
    "v1/PersistentVolume": volume,
    "v1/Namespace": namespace,
    "v1/Service": load_balancer,
    "networking.k8s.io/v1/Ingress": load_balancer,
    "apiextensions.k8s.io/v1/CustomResourceDefinition": definition,
}
TIMEOUTS_S: Final[dict[str, float]] = {"v1/PersistentVolumeClaim": 300, "v1/PersistentVolume": 300, "v1/Pod": 300}
DEFAULT_TIMEOUT_S: Final = 600.0


def timeout_s(asked_s: float, inputs: Json, gvk: Gvk | None) -> float:
    """customTimeouts, then the annotation, then the kind's own."""
    if asked_s > 0:
        return asked_s
    noted = annotation(inputs, TIMEOUT_SECONDS)
    if noted.isdigit():
        return float(noted)
    return TIMEOUTS_S.get(str(gvk), DEFAULT_TIMEOUT_S)


def needs_endpoints(obj: Json) -> bool:
    """A Service waits for pods only where it selects some and has an address of its own."""
    spec = part(obj, "spec")
    return (
        obj.get("kind") == "Service"
        and spec.get("type") != "ExternalName"
        and spec.get("clusterIP") != "None"
        and bool(spec.get("selector"))
    )


def has_endpoints(slices: Iterable[Json]) -> bool:
    return any(
        part(endpoint, "conditions").get("ready") is not False and endpoint.get("addresses")
        for one in slices
        for endpoint in one.get("endpoints") or []
    )


def asks_for_health(obj: Json) -> bool:
    """Whether events may say why a pod that runs is not ready."""
    runs = part(obj, "status").get("phase") == "Running" and not _is_true(obj, "Ready")
    return runs and probe_events.has_probes(part(obj, "spec").get("containers") or [])


def pod_troubles(obj: Json, events: Iterable[Json] = ()) -> list[str]:
    """What is wrong with one pod, a line for each cause; empty when nothing is (yet). `events`: the pod's own."""
    check = probe_events.failing_check(events)
    if check is not None and check.killed:  # that its container ended is what the kubelet did
        return [_line(obj, check.text, probe_events.CODE)]
    troubles = []
    scheduled = condition(obj, "PodScheduled")
    if scheduled.get("status") == "False":
        waits = annotation(obj, marks.GANG_WAITS)
        message = f"its gang {waits}" if waits else str(scheduled.get("message"))
        troubles.append(_line(obj, message, str(scheduled.get("reason"))))
    status = part(obj, "status")
    for one in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        trouble = _container_trouble(one) or (None if one.get("ready") else _restart_trouble(one))
        if trouble:
            troubles.append(_line(obj, *trouble))
    if status.get("phase") == "Failed" and not troubles:
        troubles.append(
            _line(obj, str(status.get("message") or "the pod failed"), str(status.get("reason") or "Failed"))
        )
    ready = condition(obj, "Ready")
    if ready.get("status") == "False" and ready.get("reason") != "PodCompleted" and not troubles:
        why = check.text if check else str(ready.get("message") or "it runs but is not ready")
        troubles.append(_line(obj, why, probe_events.CODE if check else str(ready.get("reason") or "NotReady")))
    return troubles


def restart_troubles(obj: Json) -> list[str]:
    """Containers that are well now but ended badly before: why the pod doesn't stay up, if nothing else is wrong."""
    troubles = [_restart_trouble(one) for one in part(obj, "status").get("containerStatuses") or []]
    return [_line(obj, *trouble) for trouble in troubles if trouble]


def claims_of(obj: Json) -> list[str]:
    """Names of the claims that a pod still unscheduled mounts."""
    if condition(obj, "PodScheduled").get("status") != "False":
        return []
    claims = [part(volume, "persistentVolumeClaim") for volume in part(obj, "spec").get("volumes") or []]
    return [str(claim["claimName"]) for claim in claims if claim]


def _line(pod_object: Json, message: str, code: str) -> str:
    return f"pod {name_of(pod_object)}: {message} [code={code}]"


def _container_trouble(status: Json) -> tuple[str, str] | None:
    name, state = status.get("name"), part(status, "state")
    waiting, ended = part(state, "waiting"), part(state, "terminated")
    reason = str(waiting.get("reason") or "")
    if reason == "CrashLoopBackOff" or (ended.get("exitCode") and status.get("restartCount")):
        return _restart_trouble(status)
    if reason in TROUBLE:
        return f"container {name}: {reason}: {waiting.get('message') or reason}", reason
    if ended.get("exitCode"):
        return f"container {name} ended with {_ending(ended)}", str(ended.get("reason") or "Error")
    return None


def _restart_trouble(status: Json) -> tuple[str, str] | None:
    """A container that ends and is started again and again, told alike in each state that it goes through."""
    state, last = part(status, "state"), part(part(status, "lastState"), "terminated")
    ended = part(state, "terminated") or last
    crashed = status.get("restartCount") and ended.get("exitCode")
    if not crashed and part(state, "waiting").get("reason") != "CrashLoopBackOff":
        return None
    return f"container {status.get('name')}: CrashLoopBackOff: {_ending(ended)}", "CrashLoopBackOff"


def _ending(ended: Json) -> str:
    """`exit code 1: the last line that it said`. The kubelet tells that line where the container's
    `terminationMessagePolicy` is FallbackToLogsOnError, or where it wrote a termination message itself."""
    reason = str(ended.get("reason") or "")
    last_line = str(ended.get("message") or "").strip().rpartition("\n")[2].strip()
    killed = f" ({reason})" if reason not in ("", "Error", "Completed") else ""
    return f"exit code {ended.get('exitCode', 'unknown')}{killed}" + (f": {last_line[:LAST_LINE]}" if last_line else "")


def event_lines(events: Iterable[Json]) -> list[str]:
    """Warnings, newest last, each once."""
    ordered = sorted(events, key=lambda item: str(item.get("lastTimestamp") or item.get("eventTime") or ""))
    lines = [f"{item.get('message')} [code={item.get('reason')}]" for item in ordered if item.get("type") == "Warning"]
    return list(dict.fromkeys(lines))[-3:]


def selector_text(selector: Any) -> str:
    """A label selector as the API's query parameter; expressions included."""
    if not isinstance(selector, dict):
        return ""
    parts = [f"{key}={value}" for key, value in sorted((selector.get("matchLabels") or {}).items())]
    words = {"In": "in", "NotIn": "notin"}
    for item in selector.get("matchExpressions") or []:
        key, operator = item["key"], item["operator"]
        if operator in words:
            parts.append(f"{key} {words[operator]} ({','.join(item['values'])})")
        else:
            parts.append(key if operator == "Exists" else f"!{key}")
    return ",".join(parts)
