"""Which mirrors of environments.yaml no image of a deployment is pulled from: a mistake in their names. PURE.

Called by `meshctl.resolve` for the notes of `check`.
"""

from __future__ import annotations

from collections.abc import Iterator

from meshctl.model.deployment import Deployment
from meshctl.model.pods import image_names, own_images


def notes(deployment: Deployment) -> Iterator[str]:
    """One for each entry of `images` that holds for no image."""
    images = [*own_images.of(deployment), *own_images.of_measurements()]
    for workload in deployment.workloads:
        images += [workload.image, *(step.image for step in workload.before)]
    needed = {image_names.beginning_of(image, deployment.images) for image in images}
    for beginning in deployment.images:
        if beginning not in needed:
            yield f"images.{beginning} in environments.yaml: no image of this mesh is pulled from this mirror"
