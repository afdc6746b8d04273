"""Which blueprints there are, with their slots and the parts that can fill them. PURE.

Called by `meshctl blueprint list`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from meshctl.blueprints import notebook, rag, serve, train


@dataclass(frozen=True)
class SlotOffer:
    """`contract`: what any part answers, a user's own as well. `default`: in words."""

    name: str
    parts: tuple[str, ...]
    default: str
    contract: str


@dataclass(frozen=True)
class Offer:
    kind: str
    about: str
    slots: tuple[SlotOffer, ...]


OFFERS: Final = (
    Offer(
        "serve",
        "one model behind an API in the style of OpenAI",
        (SlotOffer(serve.SLOT, tuple(serve.PARTS), "vllm", "/v1/chat/completions on the port `http`"),),
    ),
    Offer(
        "train",
        "a training run on several nodes, with checkpoints",
        (
            SlotOffer(
                train.SLOT,
                train.PARTS,
                "torchrun with a `script`, else own",
                "saves into $CHECKPOINTS and goes on from there; saves and ends on SIGTERM",
            ),
        ),
    ),
    Offer(
        "notebook",
        "JupyterLab on a node of a pool",
        (SlotOffer(notebook.SLOT, notebook.PARTS, "jupyter", "a page on the port `http`, behind $JUPYTER_TOKEN"),),
    ),
    Offer(
        "rag",
        "answers from documents, with citations",
        tuple(SlotOffer(each.name, each.parts, each.default, each.contract) for each in rag.SLOTS),
    ),
)


def document() -> dict[str, Any]:
    """For programs."""
    return {
        "blueprints": [
            {
                "kind": offer.kind,
                "about": offer.about,
                "slots": [
                    {"name": slot.name, "parts": list(slot.parts), "default": slot.default, "contract": slot.contract}
                    for slot in offer.slots
                ],
            }
            for offer in OFFERS
        ]
    }


def text() -> str:
    """For people."""
    lines: list[str] = []
    for offer in OFFERS:
        lines.append(f"{offer.kind:<10} {offer.about}")
        for slot in offer.slots:
            lines.append(f"  {slot.name:<8} {', '.join(slot.parts)} (default: {slot.default})")
            lines.append(f"           {slot.contract}")
    return "\n".join(lines)
