"""Parts of accelerators (MIG slices, shared GPUs, partitions), which never count as whole ones. PURE.

Called by `meshctl.resolve.existing`. A mesh can ask for parts by their name (`model: A100-MIG-1g.5gb`, `H100-SHARED`);
its counts are then of parts.
"""

from __future__ import annotations

from collections.abc import Iterable

from meshctl.catalog import vendors
from meshctl.model.deployment import Gap
from meshctl.model.observed import ObservedNode
from meshctl.resolve.machines import Requirement, same_model


def answers(node: ObservedNode, model: str) -> bool:
    """Whether the node's accelerators are of this model, and parts only where it names them."""
    words = _part_words(node)
    return _is_of_model(node, model, words) and words <= vendors.model_words(model)


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
    divided = sorted((node for node in nodes if _is_divided(node, wanted)), key=lambda node: node.name)
    if not divided:
        return gap
    first = divided[0]
    names = ", ".join(node.name for node in divided)
    words = _part_words(first)
    is_named = words and not words <= vendors.model_words(first.gpu_model)
    model = f"{first.gpu_model}-{'-'.join(sorted(words))}" if is_named else first.gpu_model
    way_out = f", or ask for the parts by their name: `model: {model}`, of which `count` then counts" if words else ""
    return gap.model_copy(
        update={
            "best": f"{gap.best}; not counted, as their devices are parts of accelerators: {names}"
            f" ({', '.join((*_signs(first), *first.gpu_parts))})",
            "hint": f"{gap.hint}; give these nodes whole accelerators again{way_out}",
        }
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
