"""Recreates the access entry of whoever runs a command, if somebody has deleted it. EDGE (asks EKS).

Called by `runs` at the start of an `up` and of a `destroy`. The API server answers 401 to whoever has no entry, so a
run could neither read what it is about to change nor delete what is in the cluster, and would stop with an error that
only somebody else with an entry can mend. A plan changes nothing: it ends with that error, which names `up`. Entries
of others are left to the run: who was shut out on purpose does not get in again for its time.
"""

from __future__ import annotations

import time
from typing import Any, Final

import botocore.exceptions
from botocore.config import Config

from meshctl.clients.aws import aws_errors, token_caller
from meshctl.clients.aws.aws_errors import AwsRequest
from meshctl.clients.aws.aws_session import aws_session
from meshctl.clients.kubernetes import clusters
from meshctl.clients.kubernetes.cluster_access import ClusterAccess
from meshctl.deploy.guards import location
from meshctl.engine.events import OnProgress, Progress
from meshctl.errors import CredentialsError
from meshctl.model.stack_state import Resource, StackState
from meshctl.platforms import registry
from meshctl.platforms.interface import ClusterEntries

_CONFIG: Final = Config(connect_timeout=5, read_timeout=20, retries={"mode": "standard", "total_max_attempts": 3})
# "may take several seconds": "Create access entries", EKS user guide
_SETTLES_WITHIN_S: Final = 60.0
_LOOK_EVERY_S: Final = 2.0


def recreate_deleted_entries(environment: str, state: StackState, on_progress: OnProgress | None) -> None:
    """Nothing is done where the state has no entry for these credentials, where they have no right to read or to make
    it, and where the cluster is gone as well: the checks that follow say what is wrong.

    Raises: CredentialsError, UnreachableError, BusyError.
    """
    kinds, place = _kinds_of_entries(state), location.recorded_location(state)
    if kinds is None or place is None:
        return
    recorded = [resource for resource in state.resources if resource.type in (kinds.entry, kinds.policy)]
    if not recorded:
        return
    hint = "`aws sts get-caller-identity` must work; then run the command again"
    with aws_errors.translate_errors(AwsRequest(f"AWS {kinds.service.upper()}", place.profile, hint)):
        session: Any = aws_session(place.profile, place.region)
        caller = str(session.create_client("sts", config=_CONFIG).get_caller_identity()["Arn"])
        own = [each for each in recorded if is_same_principal(str(each.inputs.get("principalArn")), caller)]
        made = recreate_missing(session.create_client(kinds.service, config=_CONFIG), own, kinds)
    if not made:
        return
    if on_progress is not None:
        text = f"somebody had deleted the access entry of {caller}, whose credentials these are; it was made again"
        on_progress(Progress("cluster", "access-entry", "message", text))
    _wait_until_let_in(ClusterAccess(environment, state.outputs.kubeconfig))


def _kinds_of_entries(state: StackState) -> ClusterEntries | None:
    deployment = state.deployment or state.begun
    cluster = registry.platform(deployment.provider).cluster.made if deployment is not None else None
    return cluster.entries if cluster is not None else None


def is_same_principal(entry: str, caller: str) -> bool:
    """`entry`: the ARN of an access entry. `caller`: as STS names it, which leaves out the path of a role."""
    kind, _, name = token_caller.principal(caller).partition("/")
    return entry.partition("/")[0] == kind and entry.rpartition("/")[2] == name.rpartition("/")[2]


def recreate_missing(eks: Any, recorded: list[Resource], kinds: ClusterEntries) -> list[str]:
    """The names of the resources that EKS no longer had. An entry comes before its policies: EKS deletes these with it.

    `eks`: a client of botocore. Raises: as it does, but for a missing right and a missing cluster.
    """
    in_order = sorted(recorded, key=lambda resource: resource.type != kinds.entry)
    try:
        return [resource.name for resource in in_order if _recreate_if_missing(eks, resource, kinds)]
    except botocore.exceptions.ClientError as error:
        # a missing right, or there is no such cluster
        if error.response["Error"]["Code"] in ("AccessDeniedException", "ResourceNotFoundException"):
            return []
        raise


def _recreate_if_missing(eks: Any, resource: Resource, kinds: ClusterEntries) -> bool:
    # "Tags" is a map in the inputs of every resource, whatever its API calls it
    inputs = {key: value for key, value in resource.inputs.items() if not key.startswith("__") and key != "Tags"}
    names = {key: inputs[key] for key in ("clusterName", "principalArn")}
    if resource.type == kinds.entry:
        tags = dict(resource.inputs.get("Tags") or {})
        return not _has_entry(eks, names) and bool(eks.create_access_entry(**inputs, tags=tags))
    return _associate_if_missing(eks, names, inputs)


def _associate_if_missing(eks: Any, names: dict[str, str], inputs: dict[str, Any]) -> bool:
    """An entry that was just made may not be seen by the next calls. Raises: as the last of them."""
    deadline = time.monotonic() + _SETTLES_WITHIN_S
    while True:
        try:
            policies = eks.list_associated_access_policies(**names)["associatedAccessPolicies"]
            is_there = any(policy["policyArn"] == inputs["policyArn"] for policy in policies)
            return not is_there and bool(eks.associate_access_policy(**inputs))
        except botocore.exceptions.ClientError as error:
            if error.response["Error"]["Code"] != "ResourceNotFoundException" or time.monotonic() >= deadline:
                raise
        time.sleep(_LOOK_EVERY_S)


def _has_entry(eks: Any, names: dict[str, str]) -> bool:
    try:
        return bool(eks.describe_access_entry(**names))
    except botocore.exceptions.ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            raise
        return False


def _wait_until_let_in(access: ClusterAccess) -> None:
    """Returns after a time in any case: the checks that follow say whom the cluster refuses."""
    if not access.kubeconfig:
        return
    deadline = time.monotonic() + _SETTLES_WITHIN_S
    while time.monotonic() < deadline:
        try:
            clusters.uid(access)
        except CredentialsError:
            time.sleep(_LOOK_EVERY_S)
        else:
            return
