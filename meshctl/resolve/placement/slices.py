"""Parts of accelerators (MIG slices, shared GPUs, partitions), which never count as whole ones. PURE.

Called by `meshctl.resolve.placement.given.existing`. A mesh can ask for parts by their name (`share: mig-1g.5gb`, or
`model: A100-MIG-1g.5gb`, `H100-SHARED`); its counts are then of parts.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from meshctl.catalog import vendors
from meshctl.model.deployment import Gap
from meshctl.model.observed import ObservedNode
from meshctl.resolve.placement.machine_types.machines import Requirement, same_model

_MIG_MARK: Final = "-MIG-"  # in the product's name, before the profile, with the strategy `single`


def answers(node: ObservedNode, model: str) -> bool:
    """Whether the node's accelerators are of this model, and parts only where it names them."""
    words = _part_words(node)
    return _is_of_model(node, model, words) and words <= vendors.model_words(model)


def counted_as(nodes: Iterable[ObservedNode], share: str) -> tuple[ObservedNode, ...]:
    """The nodes with their slices of this kind counted instead of whole accelerators; unchanged if `share` is "".

    With the strategy `mixed` of NVIDIA's device plugin each slice has a resource of its own; with `single` all of a
    node's are of one kind, `nvidia.com/gpu`, and the name of the product says which.
    """
    return tuple(_counted_as(node, share) for node in nodes) if share else tuple(nodes)


def _counted_as(node: ObservedNode, share: str) -> ObservedNode:
    vendor = vendors.of_resource(node.gpu_resource)
    resource = f"{vendor.slices}{share}"
    product, mark, part = node.gpu_model.partition(_MIG_MARK)
    is_shared_out = node.labels.get(f"{resource}.sharing-strategy", "none") != "none"
    count = node.gpu_parts.get(resource, 0) if vendor.slices and not is_shared_out else 0
    if count:
        taken = node.taken.model_copy(update={"gpus": node.taken.gpu_parts.get(resource, 0)})
        # that whole accelerators are shared out says nothing of the slices
        of_whole = {label.label for label in vendor.whole}
        labels = {label: value for label, value in node.labels.items() if label not in of_whole}
        slices = {"gpu_resource": resource, "gpu_count": count, "gpu_capacity": 0, "taken": taken, "labels": labels}
        return node.model_copy(update=slices)
    if mark and f"mig-{part}".lower() == share:
        return node.model_copy(update={"gpu_model": product})
    return node.model_copy(update={"gpu_model": product, "gpu_count": 0})


def resource_of(model: str, share: str) -> str:
    """The resource that pods request on nodes that were not read. Most have slices of several kinds, each with a
    resource of its own."""
    vendor = vendors.of_model(model)
    return f"{vendor.slices}{share}" if share and vendor.slices else vendor.resource


def why_not(node: ObservedNode, wanted: Requirement) -> str:
    """Why accelerators of a wanted model don't count; "" for whole ones, and for those of another model."""
    words = _part_words(node)
    if not words or not any(_is_of_model(node, model, words) for model in wanted.names):
        return ""
    return f"its devices are parts of accelerators ({', '.join(_signs(node))})"


def offered(node: ObservedNode) -> str:
    """The parts that a node offers under names of their own, for a message about its count."""
    return f" (it offers {', '.join(node.gpu_parts)})" if node.gpu_parts else ""


def explained(gap: Gap, nodes: Iterable[ObservedNode], wanted: Requirement) -> Gap:
    """The gap of a pool that has too few nodes, with those that would count if their accelerators were whole."""
    if wanted.share:
        return _other_slices(gap, counted_as(nodes, wanted.share), wanted)
    divided = sorted((node for node in nodes if _is_divided(node, wanted)), key=lambda node: node.name)
    if not divided:
        return gap
    first = divided[0]
    names = ", ".join(node.name for node in divided)
    words = _part_words(first)
    is_named = words and not words <= vendors.model_words(first.gpu_model)
    model = f"{first.gpu_model}-{'-'.join(sorted(words))}" if is_named else first.gpu_model
    way_out = f", or ask for the parts by their name: `model: {model}`, of which `count` then counts" if words else ""
    way_out = way_out or _by_share(first)
    return gap.model_copy(
        update={
            "best": f"{gap.best}; not counted, as their devices are parts of accelerators: {names}"
            f" ({', '.join((*_signs(first), *first.gpu_parts))})",
            "hint": f"{gap.hint}; give these nodes whole accelerators again{way_out}",
        }
    )


def _by_share(node: ObservedNode) -> str:
    """How a mesh asks for what a node offers under names of its own; "" where it can't."""
    beginning = vendors.of_resource(node.gpu_resource).slices
    shares = [name.removeprefix(beginning) for name in node.gpu_parts if name.startswith(f"{beginning}mig-")]
    if beginning and shares:
        return f", or ask for the slices by their name: `share: {shares[0]}`, of which `count` then counts"
    if any(name.endswith(".shared") for name in node.gpu_parts):
        return (
            ", or have the device plugin call shares as it calls whole ones (`renameByDefault: false`), and ask for"
            f" `model: {node.gpu_model}-SHARED`"
        )
    return ""


def _other_slices(gap: Gap, nodes: Iterable[ObservedNode], wanted: Requirement) -> Gap:
    """The gap of a pool that wants slices, with the nodes whose accelerators are of the model and divided otherwise, or
    not at all. `nodes`: as counted in these slices."""
    of_model = [node for node in nodes if any(answers(node, model) for model in wanted.names)]
    too_few = sorted((node for node in of_model if node.gpu_count < wanted.gpus), key=lambda node: node.name)
    if not too_few:
        return gap
    rows = [f"{node.name} {node.gpu_count} x {wanted.share}{offered(node)}" for node in too_few]
    label = f"kubectl label node {too_few[0].name} nvidia.com/mig.config=all-{wanted.share.removeprefix('mig-')}"
    way_out = f"have NVIDIA's MIG manager divide the nodes, as with `{label} --overwrite`"
    other = _by_share(too_few[0]) if too_few[0].gpu_parts else ""
    return gap.model_copy(
        update={"best": f"{gap.best}; nodes with too few: {', '.join(rows)}", "hint": f"{gap.hint}; {way_out}{other}"}
    )


def _is_divided(node: ObservedNode, wanted: Requirement) -> bool:
    if why_not(node, wanted):
        return not any(answers(node, model) for model in wanted.names)
    too_few = bool(node.gpu_parts) and node.gpu_count < wanted.gpus
    return too_few and any(answers(node, model) for model in wanted.names)


def _is_of_model(node: ObservedNode, model: str, words: frozenset[str]) -> bool:
    return same_model(model, " ".join((node.gpu_model, *sorted(words))), node.gpu_memory_gib)


def _part_words(node: ObservedNode) -> frozenset[str]:
    """The words by which a mesh has to ask for the node's parts; none where its accelerators are whole."""
    vendor = vendors.of_resource(node.gpu_resource)
    words = vendor.part_words & vendors.model_words(node.gpu_model)
    return words | {
        label.word or node.labels[label.label].partition("_")[0].upper()
        for label in vendor.whole
        if node.labels.get(label.label, label.values[0]) not in label.values
    }


def _signs(node: ObservedNode) -> tuple[str, ...]:
    """What shows that the node's devices are parts: the product's name, and labels."""
    vendor = vendors.of_resource(node.gpu_resource)
    product = (node.gpu_model,) if vendor.part_words & vendors.model_words(node.gpu_model) else ()
    labels = (
        f"{label.label}={node.labels[label.label]}"
        for label in vendor.whole
        if node.labels.get(label.label, label.values[0]) not in label.values
    )
    return (*product, *labels)
