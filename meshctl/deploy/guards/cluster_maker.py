"""The principal that has access to a cluster as its maker, whoever runs `up` later. PURE.

Called by `running_pods`. The preflight puts whoever runs the command into the deployment (`Findings.maker`). A cluster
that is up keeps its own: another entry would take the first one's access away, and how a cluster of an older release
lets its maker in can't be changed without making it anew.
"""

from __future__ import annotations

from meshctl.model.deployment import Deployment
from meshctl.model.stack_state import StackState
from meshctl.platforms import registry


def as_it_is_up(deployment: Deployment, state: StackState) -> Deployment:
    """The deployment with the maker of the cluster that is up, if one is."""
    made = registry.platform(deployment.provider).cluster.made
    maker = made.maker(state.resources) if made is not None else None
    if maker is None and not deployment.cluster.maker and state.deployment is not None:
        maker = state.deployment.cluster.maker  # the cluster is gone, and is made anew
    if maker is None:
        return deployment
    cluster = deployment.cluster.model_copy(update={"maker": maker})
    return deployment.model_copy(update={"cluster": cluster})
