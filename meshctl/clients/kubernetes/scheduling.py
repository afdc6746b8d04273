"""What the scheduler says of a pod without a node -> which nodes it refused for what, and what to do. PURE.

Called by `clusters` for the state of a pod, and by `meshctl.engine.failures` for what `up` says: both use these words.
The scheduler counts nodes by reason: "0/6 nodes are available: 2 Insufficient nvidia.com/gpu, 4 node(s) had untolerated
taint {team: vision}. preemption: 0/6 nodes are available: 2 No preemption victims found for incoming pod, 4 Preemption
is not helpful for scheduling." Newer schedulers name no taint: "4 node(s) had untolerated taint(s)".
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from meshctl.words import pluralize

_MESSAGE: Final = re.compile(
    r"0/\d+ nodes are available: (?P<reasons>.+?)"
    r"(?:\. no new claims to deallocate)?(?:[.,]+ preemption: (?P<preemption>.+?))?[.]*(?=\s*\[code=|; |\n|$)"
)
_COUNTED: Final = re.compile(r"(\d+) (.+)")
_LACKING: Final = re.compile(r"Insufficient (\S+)")
_TAINT: Final = re.compile(r"had (?:untolerated )?taint \{([^:}]+): ?([^}]*)\}")
_SOME_TAINT: Final = "had untolerated taint(s)"
_OTHER_POOL: Final = "didn't match Pod's node affinity"
_OF_KUBERNETES: Final = "node.kubernetes.io/"  # taints that say how a node is, and that nobody should tolerate

# What the scheduler says of the nodes on which ending other pods would help, or would not. A pod that asks for more
# than a whole node has is among the latter.
_FULL: Final = "No preemption victims found"
_HELPLESS: Final = "Preemption is not helpful"

_MORE_ROOM: Final = (
    "what runs there takes the rest: raise the pool's `nodes`, lower `replicas`, or end what holds it"
    " (`meshctl status` names it)"
)
_LARGER: Final = (
    "the nodes have less even when they are empty: lower the workload's `resources`, or ask for larger nodes in its"
    " pool; a node without accelerators lacks its device plugin"
)
_SHOW_TAINTS: Final = "`kubectl get nodes -o custom-columns=NAME:.metadata.name,TAINTS:.spec.taints` shows them"
_NOT_WELL: Final = "`kubectl get nodes` shows what is wrong with the nodes; pods come when they are well again"
_CORDONED: Final = "`kubectl uncordon NODE` lets pods come to a node again"
_NO_POOL: Final = "`kubectl get nodes -L meshctl.dev/mesh,meshctl.dev/pool` shows which nodes the pool has"
_DESCRIBE: Final = "`kubectl describe pod` shows all that the scheduler says"


def in_words(text: str) -> str:
    """The text with each of the scheduler's lists in plain words; what is no such list stays as it is."""
    return _MESSAGE.sub(_words, text)


def _words(match: re.Match[str]) -> str:
    parts = _parts(match)
    listed = ", ".join(_node_words(number, reason, match["preemption"] or "") for number, reason in parts)
    return f"no node takes it: {listed}" if parts else match[0]


def lacking(text: str) -> tuple[str, ...]:
    """The resources of which nodes have too little, each once."""
    match = _MESSAGE.search(text)
    shortages = [_LACKING.match(reason) for _, reason in (_parts(match) if match else [])]
    return tuple(dict.fromkeys(each[1] for each in shortages if each))


def hint(text: str) -> str:
    """What to do for each kind of reason in the first list; "" where there is none."""
    match = _MESSAGE.search(text)
    parts = _parts(match) if match else []
    if match is None or not parts:
        return ""
    hints = [_hint(reason, _shortage(parts, match["preemption"] or "")) for _, reason in parts]
    if all(_OTHER_POOL in reason for _, reason in parts):
        hints = [_NO_POOL]
    return "; ".join(dict.fromkeys(each for each in hints if each))


def _parts(match: re.Match[str]) -> list[tuple[int, str]]:
    """How many nodes, and the reason."""
    listed = (_COUNTED.fullmatch(part) for part in re.split(r", (?=\d+ )", match["reasons"]))
    return [(int(part[1]), part[2]) for part in listed if part]


def _shortage(parts: list[tuple[int, str]], preemption: str) -> str:
    """Whether nodes that lack something are "full" or too "small"; "" where the scheduler does not say."""
    if _FULL in preemption:
        return "full"
    return "small" if _HELPLESS in preemption and any(_LACKING.match(reason) for _, reason in parts) else ""


def _node_words(number: int, reason: str, preemption: str) -> str:
    nodes, have = pluralize(number, "node"), "has" if number == 1 else "have"
    lacking, taint = _LACKING.match(reason), _TAINT.search(reason)
    if lacking:
        shortage = _shortage([(number, reason)], preemption)
        if shortage == "small":
            return f"{nodes} {have} less {lacking[1]} than the pod asks for"
        return f"{nodes} {have} too little {lacking[1]}{' free' if shortage else ''}"
    if taint:
        return f"{nodes} {have} the taint {taint[1]}{'=' * bool(taint[2])}{taint[2]}"
    plain: tuple[tuple[str, Callable[[], str]], ...] = (
        (_SOME_TAINT, lambda: f"{nodes} {have} a taint that it does not tolerate"),
        (_OTHER_POOL, lambda: f"{nodes} {'is' if number == 1 else 'are'} not of its pool"),
        ("Too many pods", lambda: f"{nodes} {have} as many pods as it may have"),
        ("were unschedulable", lambda: f"{nodes} {'is' if number == 1 else 'are'} cordoned"),
    )
    return next((words() for key, words in plain if key in reason), f"{number} {reason}")


def _hint(reason: str, shortage: str) -> str:
    taint = _TAINT.search(reason)
    if _LACKING.match(reason):
        both = f"either {_MORE_ROOM}; or {_LARGER}"
        return {"full": _MORE_ROOM, "small": _LARGER}.get(shortage, both)
    if taint and taint[1].startswith(_OF_KUBERNETES):
        return _NOT_WELL
    if taint:
        value = f", value: {taint[2]}" if taint[2] else ""
        return f"remove the taint (`kubectl taint nodes NODE {taint[1]}-`), or {_tolerate(taint[1] + value)}"
    plain = {
        _SOME_TAINT: f"{_SHOW_TAINTS}: remove what is not wanted, or {_tolerate('KEY, value: VALUE')}",
        "Too many pods": _MORE_ROOM,
        "were unschedulable": _CORDONED,
        _OTHER_POOL: "",
    }
    return next((each for key, each in plain.items() if key in reason), _DESCRIBE)


def _tolerate(taint: str) -> str:
    return f"let the pods tolerate it, in the environment of an existing cluster: `tolerations: [{{key: {taint}}}]`"
