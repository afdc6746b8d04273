"""Marks that one side writes and the other reads: in Pulumi states, AWS tags and Kubernetes objects. PURE.

The values are in the states and on the resources of every user, so they can't change.
"""

from __future__ import annotations

from typing import Final

# What `meshaws` writes.

OWNER_TAG: Final = "meshctl:urn"
"""The AWS tag that says which resource of which stack an object is. `meshaws` sets it on everything that it creates."""

REGION_TAG: Final = "meshctl:region"
"""The AWS tag that says in which region's stack an object is whose name holds for the whole account: a role. The owner
tag does not say it. Objects of older releases have none."""

UNFINISHED: Final = "meshctlUnfinished"
"""An output of a `meshaws` resource that exists but is not completely set up or not ready. The next `up` goes on."""

FOUND: Final = "meshctlFound"
"""An output of a `meshaws` resource whose object was there before and may be somebody else's: it is used, and stays
when the resource is deleted."""

# What meshctl writes into a state.

UNANSWERED: Final = "unanswered"
"""The id of a placeholder: a resource whose create was begun by a run that was killed, so that nobody knows whether it
exists. `meshaws` looks for it by its tags or its name."""

OTHER_ID: Final = "!"
"""Comes before each further id in the id of a placeholder. Those are objects of the same resource that are known to
exist, such as the old half of a replacement, and are not what is looked for."""

# What meshctl's program for gangs writes into pods (templates/gang_hold).

GANG_WAITS: Final = "meshctl.dev/gang-waits"
"""The annotation of a pod that is held which says what its gang waits for, in words."""

# What meshctl declares for its provider.

GONE_WITH_VOLUME: Final = "meshctl.dev/gone-with-volume"
"""The annotation of a claim whose volume has to be gone before anything after it goes: the driver that deletes it is
part of the mesh."""

# What the Pulumi engine writes. Source: pulumi/sdk/go/common/resource (plugin/rpc.go, properties.go), 3.259.0.

SIGNATURE: Final = "4dabf18193072939515e22adb298388d"
"""The key of a property object that tells a special value (a secret, an output, a resource) from a plain object."""

UNKNOWN_STRING: Final = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""A string that the engine does not know yet in a preview."""

# What the official kubernetes plugin writes, and our stand-in too.

FIELD_MANAGER: Final = "pulumi-kubernetes"
"""How the names begin under which the plugin sets fields of Kubernetes objects (`metadata.managedFields`)."""
