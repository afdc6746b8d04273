"""One real API server for a worker's tests of the Kubernetes stand-in and of rendered objects.

There is no scheduler, and nobody who runs pods. Every test uses a namespace of its own, and takes back what it has set
on nodes and other objects without one.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract.kubernetes_recording.control_plane import ControlPlane, running
from tests.unit.render.sample import sample


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """With a node `gd-0`, and those that the sample mesh has on-prem."""
    of_the_sample = tuple(node for pool in sample("onprem").pools for node in pool.node_names)
    with running(tmp_path_factory.mktemp("plane"), node_names=("gd-0", *of_the_sample)) as started:
        yield started
