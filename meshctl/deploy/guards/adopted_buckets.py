"""Buckets that environments.yaml adopts: they exist, and they are not the environment's own. EDGE.

Called by `preconditions` before each plan and `up`.
"""

from __future__ import annotations

from collections.abc import Iterable

from meshctl.errors import UsageError
from meshctl.model.deployment import Deployment, ObjectStore
from meshctl.model.resource_types import BUCKET
from meshctl.model.stack_state import StackState
from meshctl.objects import listing, object_access
from meshctl.objects.listing import NoBucketError


def check_not_own(deployment: Deployment, state: StackState) -> None:
    """Refuses to adopt a bucket of the environment itself: it would leave the stack, and be deleted.

    Raises: UsageError.
    """
    own = {str(bucket.inputs.get("Bucket")): bucket.subject for bucket in state.of_type(BUCKET)}
    for store in _adopted(deployment):
        if store.bucket in own:
            raise UsageError(
                f"{deployment.environment}: the bucket {store.bucket} can't be adopted",
                why=f"meshctl made it for {own[store.bucket]} of this environment, and would delete its own bucket",
                hint=f"remove storage.{store.name} from the environment in environments.yaml",
            )


def check_reachable(deployment: Deployment) -> None:
    """Raises: UsageError when an adopted bucket does not exist, or is one that meshctl made for an environment;
    CredentialsError, UnreachableError, MeshError when it can't be listed."""
    for store in _adopted(deployment):
        try:
            listing.check_reachable(object_access.access(store))
            _refuse_made_by_meshctl(deployment, store)
        except NoBucketError as error:
            raise UsageError(
                f"{deployment.environment}: the bucket {store.bucket} of storage/{store.name} does not exist",
                why="environments.yaml names it as an existing one, which meshctl uses and never creates",
                hint=f"make it, correct its name, or remove storage.{store.name} from the environment",
            ) from error


def _refuse_made_by_meshctl(deployment: Deployment, store: ObjectStore) -> None:
    """Refuses a bucket that meshctl made: its environment deletes it, whoever else uses it. The bucket's tag says who
    made it, where a store has tags. Raises: UsageError."""
    urn = object_access.owner_urn(store)
    if urn:
        environment, _, rest = urn.removeprefix("urn:pulumi:").partition("::")
        mesh = rest.partition("::")[0]
        raise UsageError(
            f"{deployment.environment}: the bucket {store.bucket} can't be adopted for storage/{store.name}",
            why=f"meshctl made it for {environment} of the mesh {mesh}, and deletes it with that environment",
            hint=f"remove storage.{store.name} from {deployment.environment}: `meshctl migrate` copies the data",
        )


def _adopted(deployment: Deployment) -> Iterable[ObjectStore]:
    return (store for store in deployment.object_stores if store.is_adopted)
