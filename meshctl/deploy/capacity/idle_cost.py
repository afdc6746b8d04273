"""What an `up` that failed leaves running, what that costs, and how it is released. PURE.

Called by `runs`. Nothing that was made is taken back: the next `up` goes on from it. Until then it is paid for,
which the error has to say.
"""

from __future__ import annotations

from meshctl.deploy.guards.running.pools import pools_in_place
from meshctl.errors import ResourcesFailedError
from meshctl.model.deployment import Deployment, Price
from meshctl.model.stack_state import StackState


def add(error: ResourcesFailedError, deployment: Deployment, before: StackState, after: StackState) -> None:
    """Adds it to the error. `before` and `after`: the state around the run. Only what the run has brought is of
    interest: what was up before does its work."""
    new = _up(deployment, after).keys() - _up(deployment, before).keys()
    prices = [price for subject, price in _up(deployment, after).items() if subject in new]
    if not prices:
        return
    error.why = f"{error.why}; meanwhile {_running(prices)}"
    is_first = not _up(deployment, before)
    error.hint = f"{error.hint}; {_whole(deployment) if is_first else _part(deployment, [*new])}"


def _whole(deployment: Deployment) -> str:
    return f"`meshctl destroy {deployment.environment}` releases all of it"


def _part(deployment: Deployment, subjects: list[str]) -> str:
    """How the new part alone is given back: what is not in the mesh goes, also in a run in which something else fails
    again (`continue_on_error` of the engine). A pool has at least one node, and where it may be empty, the nodes that
    it has stay until somebody scales it."""
    names = _listed([subject for subject in _in_order(deployment) if subject in subjects])
    it = "it" if len(subjects) == 1 else "them"
    up = f"`meshctl up {deployment.environment}`"
    has_storage = any(subject.startswith("storage/") for subject in subjects)
    loss = ", with `--allow-data-loss` for storage that is not ephemeral" if has_storage else ""
    return (
        f"to stop paying for {names} until then, remove {it} and everything that uses {it} from mesh.yaml and run"
        f" {up}{loss}"
    )


def _in_order(deployment: Deployment) -> list[str]:
    return [price.subject for price in deployment.prices]


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _up(deployment: Deployment, state: StackState) -> dict[str, Price]:
    """The prices of pools whose nodes came up, and of storage that was made, by subject."""
    pools = {f"pool/{pool.name}" for pool in pools_in_place.in_place(state).pools}
    made = {resource.subject for resource in state.resources if resource.is_real}
    systems = {system.price.subject for system in deployment.file_systems}
    stores = systems | {store.price.subject for store in deployment.object_stores}
    return {price.subject: price for price in deployment.prices if price.subject in pools | (made & stores)}


def _running(prices: list[Price]) -> str:
    """`pool/serve and storage/shared run and cost 111.20 USD/h`."""
    names = [price.subject for price in prices]
    subjects = _listed(names)
    verbs = ("runs", "costs") if len(names) == 1 else ("run", "cost")
    known_usd = sum(price.usd_per_hour for price in prices if price.usd_per_hour is not None)
    unknown = [price.subject for price in prices if price.usd_per_hour is None]
    if not unknown:
        return f"{subjects} {verbs[0]} and {verbs[1]} {known_usd:.2f} USD/h"
    if len(unknown) == len(names):
        return f"{subjects} {verbs[0]}, at prices that meshctl does not know"
    return f"{subjects} {verbs[0]} and {verbs[1]} {known_usd:.2f} USD/h without {', '.join(unknown)} (price unknown)"
