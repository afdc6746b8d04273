"""The Secrets of a NeuralMesh whose values are counted, so that its Jobs run again when they change. PURE. Called by
`platform`.
"""

from __future__ import annotations

from collections.abc import Iterator

from meshctl.model.deployment import Deployment
from meshctl.model.pods import object_names
from meshctl.render.cluster import weka_operator, weka_organization, weka_settings
from meshctl.render.pod import registries


def entries(deployment: Deployment) -> dict[str, dict[str, str]]:
    """By the name of each Secret, its keys, each with the name of the deferred value that it holds: the licence, the
    passwords of an organization, and the credentials that are copied for the operator."""
    mesh = deployment.neural_mesh
    by_secret: dict[str, dict[str, str]] = {}
    if mesh is not None and weka_settings.has_licence(mesh):
        by_secret[object_names.WEKA_LICENCE] = {weka_settings.LICENCE_KEY: f"secret.{mesh.licence_secret}"}
    if mesh is not None:
        by_secret |= weka_organization.secret_entries(mesh)
    if mesh is not None and weka_operator.has_pull_secret(mesh):
        by_secret[registries.secret_of(mesh)] = {registries.KEY: f"secret.{mesh.image_pull_secret}"}
    return by_secret


def declared(deployment: Deployment) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Those that `platform` makes of these entries: the logical name and the name of each, and its keys whose values
    are no secrets."""
    mesh = deployment.neural_mesh
    if mesh is not None and weka_settings.has_licence(mesh):
        yield weka_settings.LICENCE, object_names.WEKA_LICENCE, {}
    organization = weka_organization.of(mesh)
    if organization is not None:
        yield weka_organization.ADMIN, object_names.WEKA_ORGANIZATION_ADMIN, {}
        texts = weka_organization.driver_texts(organization)
        yield weka_organization.DRIVER, object_names.WEKA_ORGANIZATION_CSI, texts
