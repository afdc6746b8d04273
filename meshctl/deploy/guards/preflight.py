"""Asks the platform, before anything is made, whether it has what the run would add. EDGE (asks the platform's API).

Called by `runs` before a preview and an `up`, and for `check --online`. What the platform is asked, and what its
answers mean, is the platform's own (`meshctl.platforms.interface.Preflight`). Nothing is asked by a run that adds
nothing.
"""

from __future__ import annotations

from typing import Final

from meshctl.catalog import load_catalog
from meshctl.clients.aws import aws_questions, session_credentials
from meshctl.errors import CredentialsError, InfeasibleError, MeshError
from meshctl.model.deployment import Deployment, Gap
from meshctl.model.questions import Findings, InPlace
from meshctl.platforms import registry
from meshctl.resolve.placement import addresses

# What an `up` waits for at most where nothing goes wrong: a cluster takes about 15 minutes, nodes and what runs on them
# (images, weights) the rest.
_CLUSTER_MINUTES: Final = 60
_NODES_MINUTES: Final = 30


def ask(deployment: Deployment, in_place: InPlace) -> Findings:
    """`in_place`: as `pools_in_place` reads it from the state. Without credentials, or without an answer, nothing is
    known, which the notes say: a preview needs no credentials, and an `up` without them fails by itself."""
    return _room(deployment, in_place) | _answers(deployment, in_place)


def _room(deployment: Deployment, in_place: InPlace) -> Findings:
    """Refuses a network that is too small for the nodes, as long as none is up: later it could not be changed, and what
    is up runs."""
    if in_place.counts:
        return Findings()
    where = deployment.pools, deployment.provider, deployment.network, load_catalog()
    return Findings(gaps=tuple(addresses.gaps(*where, deployment.neural_mesh)))


def _answers(deployment: Deployment, in_place: InPlace) -> Findings:
    preflight = registry.platform(deployment.provider).preflight
    if preflight is None:
        return Findings()
    questions = preflight.questions(deployment, in_place)
    if not questions:
        return Findings()
    try:
        answers = aws_questions.ask(questions, profile=deployment.profile, region=deployment.region)
    except MeshError as error:
        return Findings(notes=(_unasked(deployment, error),))
    credentials = Findings(notes=_credentials_notes(deployment, in_place))
    return preflight.findings(deployment, in_place, answers) | credentials


def _credentials_notes(deployment: Deployment, in_place: InPlace) -> tuple[str, ...]:
    """Of credentials that may end while an `up` waits, which stops it: the next one goes on."""
    expected = _NODES_MINUTES if in_place.pools else _CLUSTER_MINUTES
    life = session_credentials.remaining_life(deployment.profile)
    if not life.is_session or (life.minutes is not None and life.minutes > expected):
        return ()
    return (
        f"{life.words()}; `up` takes up to {expected} minutes here: renew them first. If they expire meanwhile, run"
        " `up` again with new ones: it goes on where it stopped",
    )


def _unasked(deployment: Deployment, error: MeshError) -> str:
    kind = "no usable credentials" if isinstance(error, CredentialsError) else str(error)
    return (
        f"not checked: whether {deployment.region} has the machines, quotas and reservations ({kind}); `up` checks it"
        " before it makes anything"
    )


def refuse(deployment: Deployment, findings: Findings, gaps: tuple[Gap, ...] = ()) -> None:
    """`gaps`: those that only the state shows. Raises: InfeasibleError with every gap."""
    all_gaps = (*findings.gaps, *findings.caller_gaps, *gaps)
    if all_gaps:
        raise infeasible(deployment.environment, all_gaps)


def infeasible(environment: str, gaps: tuple[Gap, ...]) -> InfeasibleError:
    """The error that names the first gap, and up to three more; it holds all of them."""
    first = gaps[0]
    more = f" (and {len(gaps) - 1} more)" if len(gaps) > 1 else ""
    return InfeasibleError(
        f"{environment} can't carry the mesh: {first.subject} wants {first.wanted}; best: {first.best}{more}",
        gaps=gaps,
        why="; ".join(f"{gap.subject}: {gap.wanted}" for gap in gaps[1:4]),
        hint=first.hint,
    )
