"""Who installs the operator of WEKA, and whether the user may: an operator of somebody else is used as it is. PURE.

Called by `project` once a deployment is resolved, with what its cluster says. Which it was at the first `up` stays so:
the operator that meshctl has installed is in the cluster from then on.
"""

from __future__ import annotations

from collections.abc import Sequence

from meshctl.model.deployment import Deployment, Gap, NeuralMesh, Resolution
from meshctl.model.neural_mesh import OPERATOR_NAMESPACE


def decided(deployment: Deployment, up: NeuralMesh | None, *, is_ours: bool, is_theirs: bool | None) -> Deployment:
    """`up`: what is up in the environment. `is_ours`: whether an `up`, which may not have finished, has begun to
    install the operator. `is_theirs`: whether the cluster has one that no `up` of this mesh has installed; None where
    it is not there yet, or nobody could ask it."""
    mesh = deployment.neural_mesh
    if mesh is None:
        return deployment
    installs = is_ours or (up.installs_operator if up is not None else not is_theirs)
    return deployment.model_copy(update={"neural_mesh": mesh.model_copy(update={"installs_operator": installs})})


def with_findings(resolution: Resolution, deployment: Deployment, lacking: Sequence[str], *, is_up: bool) -> Resolution:
    """The resolution with the decided deployment: with a note on the operator, or a gap for who may not bring it up.
    `lacking`: what the Kubernetes user may not do; `is_up`: whether the mesh has its operator already."""
    mesh = deployment.neural_mesh
    if mesh is None:
        return resolution
    if lacking:
        return resolution.model_copy(update={"deployment": None, "gaps": (*resolution.gaps, _gap(mesh, lacking))})
    note = _note(mesh, is_up=is_up)
    notes = (*resolution.notes, *([note] if note else []))
    return resolution.model_copy(update={"deployment": deployment, "notes": notes})


def _gap(mesh: NeuralMesh, lacking: Sequence[str]) -> Gap:
    what = "WEKA's operator, clients and storage classes" if mesh.installs_operator else "WEKA's clients and classes"
    if mesh.installs_operator:
        hint = (
            f"have these granted, or have an administrator install the operator {mesh.operator_version} (`helm`, chart"
            f" {mesh.operator_chart}, namespace {OPERATOR_NAMESPACE}): meshctl then uses it as it is"
        )
    else:
        hint = "have these granted"
    return Gap(
        subject="neuralmesh",
        wanted=f"a Kubernetes user that may bring up {what}",
        best=f"this one may not {', '.join(lacking)}",
        hint=hint,
    )


def _note(mesh: NeuralMesh, *, is_up: bool) -> str:
    if not mesh.installs_operator:
        return (
            "neuralmesh: the cluster has an operator of WEKA, which is used as it is; its version is its owner's to say"
        )
    if is_up:
        return ""
    return (
        f"neuralmesh: WEKA's operator {mesh.operator_version} is installed into the namespace {OPERATOR_NAMESPACE}, and"
        " stays there after a `destroy`, since other meshes may use it"
    )
