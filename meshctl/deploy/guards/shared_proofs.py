"""Records that prove the host of a certificate to more than one environment. PURE.

Asked by `session` and `teardown` before records go. A platform asks for the same record for one host in every region
(ADR 0046), so that the environment which goes first must leave it to the others, whose certificates it renews. One that
somebody else has made is used, and stays when the last environment goes (`made_by_others`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Final

from meshctl.model.deployment import Deployment
from meshctl.model.resource_types import RECORD_SET
from meshctl.model.stack_state import Resource, StackState
from meshwire.marks import FOUND

_PROOF: Final = ":proof"  # as `stacks` names them


def going(state: StackState, deployment: Deployment | None) -> tuple[Resource, ...]:
    """The records of the state that an `up` of the deployment removes; all of them for a `destroy` (None)."""
    hosts = {endpoint.host for endpoint in deployment.endpoints if endpoint.certificate} if deployment else set()
    return tuple(each for each in _proofs(state) if _host(each) not in hosts)


def of_others(records: Iterable[Resource], others: Collection[StackState]) -> frozenset[str]:
    """The URNs of those that are in the state of another environment, too."""
    names = {_name(record) for state in others for record in _proofs(state)}
    return frozenset(record.urn for record in records if _name(record) in names)


def made_by_others(state: StackState) -> tuple[Resource, ...]:
    """The records that were there when the environment asked for them, and that stay when it goes."""
    return tuple(each for each in _proofs(state) if each.outputs.get(FOUND))


def made_for_others(records: Iterable[Resource], others: Collection[StackState]) -> frozenset[str]:
    """The URNs of those that meshctl has made for another environment: the last to go removes them."""
    names = {_name(record) for state in others for record in _proofs(state) if not record.outputs.get(FOUND)}
    return frozenset(record.urn for record in records if _name(record) in names)


def as_made(record: Resource) -> Resource:
    """The record as one that goes with its certificate."""
    return record.with_fields(outputs={key: value for key, value in record.outputs.items() if key != FOUND})


def _proofs(state: StackState) -> Iterator[Resource]:
    return (each for each in state.of_type(RECORD_SET) if each.is_real and each.name.endswith(_PROOF))


def _name(record: Resource) -> str:
    return str(record.inputs.get("Name", "")).rstrip(".").lower()


def _host(record: Resource) -> str:
    """The host that the record proves: its name without the first label, which is the platform's."""
    return _name(record).partition(".")[2]
