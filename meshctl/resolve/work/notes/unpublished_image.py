"""The image of meshrag is published nowhere: whoever uses it builds it, and says where it is pulled from. PURE.

Called by `meshctl.resolve` for the notes of `check`: pods that can't pull it would be seen in `up`.
"""

from __future__ import annotations

from collections.abc import Iterator

from meshctl.blueprints.rag import IMAGE
from meshctl.model.deployment import Deployment
from meshctl.model.pods import image_names


def notes(deployment: Deployment) -> Iterator[str]:
    """One for all workloads that would pull it from the place that its name says."""
    name = IMAGE.rpartition(":")[0]
    names = [workload.name for workload in deployment.workloads if image_names.beginning_of(workload.image, [name])]
    if names and not image_names.beginning_of(IMAGE, deployment.images):
        yield (
            f"the image {IMAGE} of {', '.join(names)} is not published: build it from images/rag, push it, and write"
            f" its place into environments.yaml: `images: {{{name}: REGISTRY/rag}}` of {deployment.environment}"
        )
