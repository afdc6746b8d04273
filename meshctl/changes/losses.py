"""Which data a run would lose: decided from the state, from what the run does, and from what was looked at. PURE.

Called by `meshctl.deploy.guards.protection`, which looks into buckets and clusters first; shown by `human` and by the
CLI when it asks. Every command that can lose data goes through `losses`: `up`, `destroy`, and migrations that destroy a
side.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from meshctl.changes.steps import Step
from meshctl.model.deployment import POOL_LABEL, Deployment
from meshctl.model.files.units import format_gib
from meshctl.model.keys import scaling
from meshctl.model.neural_mesh import GRACE
from meshctl.model.pods import object_names
from meshctl.model.resource_types import BUCKET, NAMESPACE, WEKA_CLUSTER
from meshctl.model.stack_state import Resource, StackState
from meshctl.platforms import registry

CLAIM = "kubernetes:core/v1:PersistentVolumeClaim"
STATEFUL_SET = "kubernetes:apps/v1:StatefulSet"
UNSEEN = "its content can't be seen from here"
_NODES_WITH_DRIVES = (
    "how nodes whose drives carry a NeuralMesh are replaced: docs/neuralmesh.md, Nodes that are replaced"
)

Kind = Literal["bucket", "file system", "volume"]


@dataclass(frozen=True)
class Loss:
    """Data that would be lost, or no longer be protected. `identity` is what the platform calls it: a bucket's name, a
    file system's id, a claim and its volume. `urn` is empty for a claim that no resource of the state stands for.
    `guide`: where the docs say how it is kept otherwise than by leaving the change; "" where they have no such way."""

    subject: str
    kind: Kind
    identity: str
    size: str
    why: str
    urn: str = ""
    guide: str = ""

    def text(self) -> str:
        return f"{self.subject} ({self.identity}, {self.size}): {self.why}"

    def document(self) -> dict[str, str]:
        """One entry of `data_losses` in JSON."""
        return {
            "subject": self.subject,
            "kind": self.kind,
            "identity": self.identity,
            "size": self.size,
            "why": self.why,
        }


def not_agreed(lost: Iterable[Loss], agreed: Iterable[str], *, buckets: bool = False) -> tuple[Loss, ...]:
    """Those of `lost` that nobody has agreed to lose. `agreed`: the identities that a person was shown. One that says
    less stands for one that says more: a cluster that can't be asked does not say which volume a claim has. `buckets`:
    whether all of them may go."""
    shown = tuple(agreed)
    to_agree = (loss for loss in lost if not (buckets and loss.kind == "bucket"))
    return tuple(loss for loss in to_agree if not any(_may_be_one(loss.identity, each) for each in shown))


def _may_be_one(one: str, other: str) -> bool:
    short, long = sorted((one, other), key=len)
    return long == short or long.startswith((f"{short}, ", f"{short} ("))


@dataclass(frozen=True, order=True)
class Volume:
    """A claim with a volume behind it. `handle` is the driver's own name of the volume, such as vol-0123; `size` what
    was asked for. Either may be empty where the cluster does not say. `is_own`: whether the claim has the labels of the
    environment, by which `destroy` deletes it in a namespace that stays."""

    claim: str
    name: str = ""
    handle: str = ""
    size: str = ""
    is_own: bool = False

    @property
    def identity(self) -> str:
        handle = f" ({self.handle})" if self.handle else ""
        return f"claim {self.claim}, volume {self.name}{handle}" if self.name else f"claim {self.claim}"


@dataclass(frozen=True)
class Seen:
    """What was looked at. `buckets`: by URN what they hold, in words, "" for nothing. `volumes`: those of the claims in
    the namespace, None where the cluster can't say: then each claim may have one."""

    buckets: Mapping[str, str] = field(default_factory=dict)
    volumes: tuple[Volume, ...] | None = None


@dataclass(frozen=True)
class Outcome:
    """What a run does to the resources of a state.

    `goes`: URNs that are deleted or replaced, `replaced` those of them that come anew. `emptied`: URNs of what makes
    the nodes of a pool, which are replaced one by one. `used`: patterns of the claims that StatefulSets use after it.
    `given_up`: names of storage that was protected and is `ephemeral` from now on.
    `declared`: names of the storage that the mesh has after it; None where the whole environment goes.
    `takes_own_claims`: whether every claim with the labels of the environment is deleted, whatever it was made for.
    """

    goes: frozenset[str]
    replaced: frozenset[str] = frozenset()
    used: tuple[str, ...] = ()
    given_up: frozenset[str] = frozenset()
    declared: frozenset[str] | None = None
    takes_own_claims: bool = False
    emptied: frozenset[str] = frozenset()


def outcome_of_up(state: StackState, old: Deployment | None, new: Deployment, steps: Iterable[Step]) -> Outcome:
    """`old`: what is deployed; `steps`: those of the preview."""
    step_list = list(steps)
    replaced = frozenset(step.urn for step in step_list if step.action == "replace")
    goes = replaced | {step.urn for step in step_list if step.action == "delete"}
    changed = {
        step.urn: step.new for step in step_list if step.type == STATEFUL_SET and step.action != "delete" and step.new
    }
    sets = {each.urn: each.inputs for each in state.of_type(STATEFUL_SET) if each.urn not in goes}
    used = tuple(pattern for inputs in {**sets, **changed}.values() for pattern in claim_patterns(inputs).values())
    emptied = frozenset(step.urn for step in step_list if _replaces_nodes(step))
    return Outcome(goes, replaced, used, given_up(old, new), frozenset(new.ephemeral), emptied=emptied)


def _replaces_nodes(step: Step) -> bool:
    """Whether an update has the platform replace the nodes of a pool one by one."""
    if step.action != "update":
        return False
    properties = tuple(name for kind, name in registry.emptied_by() if kind == step.type)
    return any(change.path.startswith(properties) for change in step.properties)


def outcome_of_destroy(state: StackState, *, keep_buckets: bool = False, namespace_stays: bool = False) -> Outcome:
    """Of a run that deletes the environment. `keep_buckets`: as a migration does, which leaves them in the stack.
    `namespace_stays`: the claims do not go with it then, and are deleted by their labels."""
    goes = frozenset(each.urn for each in state.resources if not (keep_buckets and each.type == BUCKET))
    return Outcome(goes, takes_own_claims=namespace_stays)


def given_up(old: Deployment | None, new: Deployment) -> frozenset[str]:
    """The storage that is protected as it was deployed, and would be `ephemeral` from now on."""
    before = old.ephemeral if old else {}
    return frozenset(name for name, is_ephemeral in new.ephemeral.items() if is_ephemeral and before.get(name) is False)


def buckets_to_look_into(state: StackState, old: Deployment | None, outcome: Outcome) -> list[str]:
    """The URNs of the buckets whose content decides."""
    return [each.urn for each in protected(state, old) if each.type == BUCKET and _is_touched(each, outcome)]


def needs_cluster(state: StackState, old: Deployment | None, outcome: Outcome) -> bool:
    """Whether the claims of the cluster decide."""
    types = (CLAIM, STATEFUL_SET, *_takes_claims())
    return outcome.takes_own_claims or any(
        each.type in types and _is_touched(each, outcome) for each in protected(state, old)
    )


def _takes_claims() -> tuple[str, ...]:
    """The types of resources whose deletion takes all claims along."""
    return (NAMESPACE, *registry.cluster_types())


def losses(state: StackState, old: Deployment | None, outcome: Outcome, seen: Seen) -> tuple[Loss, ...]:
    """All data that `outcome` would lose, by subject. What was deployed as `ephemeral` is none, nor is an empty bucket
    or a claim that has no volume; what can't be seen counts."""
    all_losses: list[Loss] = []
    for resource in protected(state, old):
        if not _is_touched(resource, outcome):
            continue
        subject, urn = resource.subject, resource.urn
        if resource.type == BUCKET:
            content = seen.buckets.get(urn, UNSEEN)
            identity = f"bucket {resource.inputs['Bucket']}"
            if content:
                all_losses.append(Loss(subject, "bucket", identity, content, _why(subject, urn, outcome), urn))
        elif resource.type in registry.file_system_types():
            identity = f"file system {resource.id or 'not made yet'}"
            all_losses.append(
                Loss(subject, "file system", identity, _size(old, subject), _why(subject, urn, outcome), urn)
            )
        elif resource.type == WEKA_CLUSTER and _has_lasting_files(old):
            all_losses.append(_weka_loss(resource, old, _why_without_grace(resource, outcome)))
    all_losses += _losses_with_drives(state, old, outcome)
    of_file_systems = {loss.subject for loss in all_losses if loss.kind == "file system"}
    volumes = _volume_losses(state, old, outcome, seen)
    all_losses += [loss for loss in volumes if loss.subject not in of_file_systems]
    return tuple(sorted(all_losses, key=lambda loss: (loss.subject, loss.identity)))


def _has_lasting_files(old: Deployment | None) -> bool:
    """Whether a WEKA cluster carries files that were not deployed as `ephemeral`."""
    systems = [system for system in old.file_systems if system.service == "neuralmesh"] if old else []
    return not systems or any(not system.ephemeral for system in systems)


def _losses_with_drives(state: StackState, old: Deployment | None, outcome: Outcome) -> Iterator[Loss]:
    """The WEKA clusters that stay, on nodes that are replaced: the new ones have empty drives."""
    if not _has_lasting_files(old):
        return
    makes_nodes = {kind for kind, _ in registry.emptied_by()}
    for cluster in state.of_type(WEKA_CLUSTER):
        if _is_touched(cluster, outcome):
            continue  # a loss already
        pool = _carrying_pool(cluster)
        node_makers = {each.urn for each in state.of_subject(f"pool/{pool}") if each.type in makes_nodes}
        nodes = f"nodes of pool {pool}, whose drives carry it,"
        if node_makers & outcome.goes:
            why = f"all {nodes} go at once; new ones have empty drives"
            yield replace(_weka_loss(cluster, old, why), guide=_NODES_WITH_DRIVES)
        elif node_makers & outcome.emptied:
            why = (
                f"{nodes} are replaced one by one by nodes with empty drives, and the platform goes on to the next one"
                " without waiting until WEKA has built the data anew"
            )
            yield replace(_weka_loss(cluster, old, why), guide=_NODES_WITH_DRIVES)


def _carrying_pool(cluster: Resource) -> str:
    """As its object selects nodes."""
    return str((cluster.inputs.get("spec") or {}).get("nodeSelector", {}).get(POOL_LABEL, ""))


def _why_without_grace(cluster: Resource, outcome: Outcome) -> str:
    if outcome.declared is None:
        why = "it goes with the environment"
    elif cluster.urn in outcome.replaced:
        why = "a new, empty one takes its place"
    else:
        why = "the mesh has no NeuralMesh any more"
    return f"{why}, without the {GRACE} in which its operator could bring it back"


def _weka_loss(cluster: Resource, old: Deployment | None, why: str) -> Loss:
    """All that is in it, also what others have made there."""
    metadata = cluster.inputs["metadata"]
    capacity_gib = old.neural_mesh.net_capacity_gib if old is not None and old.neural_mesh is not None else 0
    return Loss(
        cluster.subject,
        "file system",
        f"WekaCluster {metadata.get('namespace')}/{metadata['name']}",
        format_gib(capacity_gib) if capacity_gib else UNSEEN,
        why,
        cluster.urn,
    )


def protected(state: StackState, old: Deployment | None) -> Iterator[Resource]:
    """The resources that belong to nothing that was deployed as `ephemeral`, nor to files of somebody else: those stay
    where they are, whatever becomes of the volume and the claim that led to them."""
    names = [name for name, is_ephemeral in old.ephemeral.items() if is_ephemeral] if old else []
    names += [system.name for system in old.file_systems if system.is_adopted] if old else []
    unprotected = {f"storage/{name}" for name in names}
    return (resource for resource in state.resources if resource.subject not in unprotected)


def _is_touched(resource: Resource, outcome: Outcome) -> bool:
    name = resource.subject.removeprefix("storage/")
    return resource.urn in outcome.goes or name in outcome.given_up


def _volume_losses(state: StackState, old: Deployment | None, outcome: Outcome, seen: Seen) -> Iterator[Loss]:
    protected_resources = list(protected(state, old))
    own = {str(claim.inputs["metadata"]["name"]): claim for claim in state.of_type(CLAIM)}
    lasting = {resource.urn for resource in protected_resources}
    sets = [resource for resource in protected_resources if resource.type == STATEFUL_SET]
    all_go = any(
        resource.urn in outcome.goes
        for resource in protected_resources
        if resource.type in _takes_claims() and not resource.is_retained
    )
    for volume in _claims_of_state(own, sets) if seen.volumes is None else seen.volumes:
        resource = own.get(volume.claim)
        if resource is not None:
            if resource.urn in lasting and (all_go or _is_touched(resource, outcome)):
                yield _loss(volume, resource.subject, resource.urn, outcome)
            continue
        subject, urn = _block_of(volume.claim, sets)
        if all_go or (outcome.takes_own_claims and volume.is_own):
            yield _loss(volume, subject or f"claim/{volume.claim}", urn, outcome)
        elif urn in outcome.goes and not any(re.fullmatch(pattern, volume.claim) for pattern in outcome.used):
            yield _loss(volume, subject, urn, outcome, left=True)
    if outcome.takes_own_claims and seen.volumes is None:
        yield Loss("claims", "volume", "claims with the labels of the environment", UNSEEN, _why("", "", outcome))


def _loss(volume: Volume, subject: str, urn: str, outcome: Outcome, *, left: bool = False) -> Loss:
    why = _why(subject, urn, outcome, left=left)
    return Loss(subject, "volume", volume.identity, volume.size or UNSEEN, why, urn)


def _claims_of_state(own: Mapping[str, Resource], sets: Iterable[Resource]) -> Iterator[Volume]:
    """The claims that there may be, where the cluster can't be asked."""
    for name, resource in own.items():
        spec = resource.outputs.get("spec") or resource.inputs["spec"]
        yield Volume(name, str(spec.get("volumeName") or ""), "", str(spec["resources"]["requests"]["storage"]))
    for stateful_set in sets:
        inputs = stateful_set.inputs
        for claim in inputs["spec"].get("volumeClaimTemplates") or ():
            first = int((inputs["spec"].get("ordinals") or {}).get("start") or 0)
            # load may have brought more pods than declared, whose claims stay when they go
            most = scaling.most_of(inputs["metadata"].get("annotations"))
            for pod in range(first, first + max(int(inputs["spec"].get("replicas") or 1), most)):
                name = object_names.pod_claim(inputs["metadata"]["name"], claim["metadata"]["name"], pod)
                yield Volume(name, size=str(claim["spec"]["resources"]["requests"]["storage"]))


def _block_of(claim: str, sets: Iterable[Resource]) -> tuple[str, str]:
    """The subject of the block, and the URN of the StatefulSet whose pod uses the claim; empty for an unused one."""
    for stateful_set in sets:
        for block, pattern in claim_patterns(stateful_set.inputs).items():
            if re.fullmatch(pattern, claim):
                return f"storage/{block}", stateful_set.urn
    return "", ""


def claim_patterns(stateful_set: Mapping[str, Any]) -> dict[str, str]:
    """By block: what the names of the claims of its pods look like."""
    blocks = [str(claim["metadata"]["name"]) for claim in stateful_set["spec"].get("volumeClaimTemplates") or ()]
    name = str(stateful_set["metadata"]["name"])
    return {block: object_names.pod_claims(name, block) for block in blocks}


def _size(old: Deployment | None, subject: str) -> str:
    systems = {f"storage/{system.name}": system for system in (old.file_systems if old else ())}
    return format_gib(systems[subject].size_gib) if subject in systems else UNSEEN


_LEFT = "nothing uses it any more; it stays in the cluster as long as the environment is up"


def _why(subject: str, urn: str, outcome: Outcome, *, left: bool = False) -> str:
    name = subject.removeprefix("storage/")
    if outcome.declared is None:
        return "it goes with the environment"
    if name in outcome.given_up:
        fate = _LEFT if left else "it is deleted" if urn in outcome.goes else "it is no longer protected"
        return f"it is `ephemeral` from now on: {fate}"
    if left:
        return _LEFT
    if subject.startswith("claim/"):
        return "it goes with the namespace"
    if name not in outcome.declared:
        return f"the mesh has no storage {name} any more"
    return "a new, empty one takes its place" if urn in outcome.replaced else "no workload of the mesh uses it any more"
