"""EKS: clusters and node groups; add-ons are in `eks_addons`, access is in `eks_access`. PURE.

Source: EKS API reference, version 2017-11-01. Inputs are named as the API names them (`name`, `roleArn`,
`resourcesVpcConfig`); tags are `Tags`, as everywhere.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from providers.aws.rows_engine.row import (
    Adopt,
    Bounded,
    Call,
    Context,
    Count,
    OneWay,
    Param,
    Poll,
    Row,
    Setting,
    Tags,
    Updates,
)

NOT_FOUND = ("ResourceNotFoundException",)
TAKEN = ("ResourceInUseException",)
BUSY = ("ResourceInUseException",)
UNCHANGED = ("InvalidParameterException:already at the desired", "InvalidParameterException:No changes")
# A role made a moment ago isn't known to EKS yet, or its trust isn't.
CLUSTER_ROLE_SOON = ("InvalidParameterException:role", "InvalidParameterException:assume")
ROLE_SOON = (*CLUSTER_ROLE_SOON, "InvalidRequestException:role")


def tags_of(arn: str) -> Tags:
    return Tags(
        create={"tags": "tags"},
        path="tags",
        put=Call("TagResource", {"resourceArn": f"outputs.{arn}", "tags": "put_tags"}),
        remove=Call("UntagResource", {"resourceArn": f"outputs.{arn}", "tagKeys": "gone_tag_keys"}),
    )


def update_done(**names: str) -> Poll:
    """Waits for the update that the answer names; its error code is what the user needs."""
    return Poll(
        "status",
        ok=("Successful",),
        fail=("Failed", "Cancelled"),
        code="errors[0].errorCode",
        reason="errors[0].errorMessage",
        every_s=15,
        timeout_s=3600,
        call=Call("DescribeUpdate", {"updateId": "answer.update.id", **names}, path="update"),
    )


def vpc_update(*names: str) -> Call:
    def changed(context: Context) -> Any:
        new = context["inputs"].get("resourcesVpcConfig") or {}
        old = context["old_inputs"].get("resourcesVpcConfig") or {}
        if all(new.get(name) == old.get(name) for name in names):
            return None
        return {name: new[name] for name in names if name in new}

    return Call(
        "UpdateClusterConfig",
        {"name": "id", "resourcesVpcConfig": changed},
        when=changed,
        transient=BUSY,
        patience_s=1800,
        tolerate=UNCHANGED,
    )


# "You can't change the authentication mode back to a mode that removes the EKS API" (EKS user guide, "Change
# authentication mode to use access entries"); nor from API to API_AND_CONFIG_MAP (EKS workshop, "Managing cluster
# access"). EKS refuses it, and an update to the mode that is there, as "Unsupported authentication mode update".
AUTHENTICATION_MODES = ("CONFIG_MAP", "API_AND_CONFIG_MAP", "API")


def _changed_mode(context: Context) -> Any:
    """The one member of `accessConfig` that can change."""
    new, old = (context[name].get("accessConfig") or {} for name in ("inputs", "old_inputs"))
    mode = new.get("authenticationMode")
    return {"authenticationMode": mode} if mode and mode != old.get("authenticationMode") else None


def cluster_update(operation: str, name: str) -> Setting:
    return Setting(
        (name,),
        (
            Call(
                operation,
                {"name": "id", name: f"inputs.{name}"},
                transient=BUSY,
                patience_s=1800,
                tolerate=UNCHANGED,
            ),
        ),
        wait=update_done(name="id"),
    )


CLUSTER = Row(
    "meshaws:eks:Cluster",
    "eks",
    "EKS API CreateCluster",
    create=Call("CreateCluster", forward=True, transient=CLUSTER_ROLE_SOON),
    id="inputs.name",
    read=Call("DescribeCluster", {"name": "id"}, path="cluster"),
    delete=Call("DeleteCluster", {"name": "id"}, transient=BUSY, patience_s=1800),
    adopt=Adopt(by="name", exists=TAKEN),
    not_found=NOT_FOUND,
    settings=(
        cluster_update("UpdateClusterVersion", "version"),
        cluster_update("UpdateClusterConfig", "logging"),
        Setting(
            ("accessConfig",),
            (
                Call(
                    "UpdateClusterConfig",
                    {"name": "id", "accessConfig": _changed_mode},
                    when=_changed_mode,
                    transient=BUSY,
                    patience_s=1800,
                ),
            ),
            wait=update_done(name="id"),
        ),
        Setting(
            ("resourcesVpcConfig",),
            # one update changes either the endpoint's access or the network, not both
            (
                vpc_update("endpointPublicAccess", "endpointPrivateAccess", "publicAccessCidrs"),
                vpc_update("subnetIds", "securityGroupIds"),
            ),
            wait=update_done(name="id"),
        ),
        cluster_update("UpdateClusterConfig", "upgradePolicy"),
        cluster_update("UpdateClusterConfig", "deletionProtection"),
    ),
    tags=tags_of("arn"),
    ready=Poll(
        "status",
        ok=("ACTIVE",),
        fail=("FAILED",),
        code="health.issues[0].code",
        reason="join('; ', health.issues[].message)",
        every_s=15,
        timeout_s=2400,
    ),
    gone=Poll("status", fail=("FAILED",), every_s=15, timeout_s=1800),
    broken=("FAILED",),
    # described with the types that are off, too
    observe={"logging": "logging && {clusterLogging: logging.clusterLogging[?enabled]}"},
    noise=("health",),
    opaque=("bootstrapSelfManagedAddons",),
    one_way=(OneWay("accessConfig.authenticationMode", AUTHENTICATION_MODES),),
)


def _changed_labels(context: Context) -> Any:
    new, old = context["inputs"].get("labels") or {}, context["old_inputs"].get("labels") or {}
    removed = sorted(set(old) - set(new))
    changed = {key: value for key, value in new.items() if old.get(key) != value}
    update = {"addOrUpdateLabels": changed, "removeLabels": removed}
    return {key: value for key, value in update.items() if value} or None


def _changed_taints(context: Context) -> Any:
    new, old = context["inputs"].get("taints") or [], context["old_inputs"].get("taints") or []
    wanted = {(taint.get("key"), taint.get("effect")) for taint in new}
    removed = [taint for taint in old if (taint.get("key"), taint.get("effect")) not in wanted]
    changed = [taint for taint in new if taint not in old]
    update = {"addOrUpdateTaints": changed, "removeTaints": removed}
    return {key: value for key, value in update.items() if value} or None


def _changed_scaling(context: Context) -> Any:
    """Nothing where the bounds stay: `desiredSize` is moved by whoever scales, and a change of labels is none of it. A
    group that is to be empty from now on is emptied."""
    inputs, old_inputs = context["inputs"], context["old_inputs"]
    new, old = inputs.get("scalingConfig") or {}, old_inputs.get("scalingConfig") or {}
    if inputs.get(EMPTY_UNTIL) and not old_inputs.get(EMPTY_UNTIL):
        return new
    # nodes of a block that start before the group has its new template would start in the old block
    has_other_version = any(inputs.get(name) != old_inputs.get(name) for name in NODE_VERSION)
    if old_inputs and has_other_version and inputs.get("capacityType") == BLOCK:
        return None
    return None if all(new.get(name) == old.get(name) for name in ("minSize", "maxSize")) else new


BLOCK = "CAPACITY_BLOCK"
NODE_VERSION = ("launchTemplate", "version", "releaseVersion")
# An input of ours: until when a node group has no nodes, as its capacity reservation begins then.
EMPTY_UNTIL = "emptyUntil"
NODEGROUP_NAMES: dict[str, Param] = {"clusterName": "parts[0]", "nodegroupName": "parts[1]"}
NODEGROUP_UPDATE = update_done(name="parts[0]", nodegroupName="parts[1]")
_UPDATES_OF: dict[str, Param] = {"name": "parts[0]", "nodegroupName": "parts[1]"}
NODEGROUP_UPDATES = Updates(
    state="status",
    running=("UPDATING",),
    listed=Call("ListUpdates", _UPDATES_OF, path="updateIds", paginate=True),
    end=replace(NODEGROUP_UPDATE, ok=("Successful", "Failed", "Cancelled"), fail=()),
    busy=BUSY,
)


def _launch_template(context: Context) -> Any:
    """The template by id alone, with its version: the update takes either name or id."""
    template = context["inputs"].get("launchTemplate")
    if not isinstance(template, dict):
        return template
    return {key: template[key] for key in ("id", "name", "version") if key in template}


# "When upgrading managed node groups with Capacity Blocks, make sure that the desired size of the node group is set to
# 0" (EKS user guide, "Create a managed node group with Capacity Blocks for ML"): the block has no room for new nodes.
def _is_full_block(context: Context) -> bool:
    live = context["answer"]
    is_block = live.get("capacityType") == BLOCK
    return is_block and (live.get("scalingConfig") or {}).get("desiredSize", 0) > 0 and _is_other_version(context)


def _no_nodes(context: Context) -> Any:
    return {**context["answer"]["scalingConfig"], "minSize": 0, "desiredSize": 0}


def _is_emptied_block(context: Context) -> bool:
    inputs, live = context["inputs"], context["answer"]
    wanted = inputs.get("scalingConfig")
    is_block = live.get("capacityType") == BLOCK
    return bool(is_block and wanted and not inputs.get(EMPTY_UNTIL) and wanted != live.get("scalingConfig"))


def _is_other_version(context: Context) -> bool:
    """Whether the nodes are to be of another template, version or image than the group has: an update that was running
    may have brought them there. What is not described is another."""
    inputs, live = context["inputs"], context["answer"]
    wanted = [(live.get(name), inputs.get(name)) for name in ("version", "releaseVersion") if inputs.get(name)]
    template, live_template = _launch_template(context) or {}, live.get("launchTemplate") or {}
    wanted += [(live_template.get(name), value) for name, value in template.items()]
    return any(str(now) != str(then) for now, then in wanted)


def pinned_release(context: Context) -> Any:
    """The image that the nodes run, unless another is asked for: without one, EKS takes the newest with every update
    (EKS API, UpdateNodegroupVersion). One of another Kubernetes version gets the newest of that."""
    inputs, live = context["inputs"], context["answer"]
    if inputs.get("releaseVersion"):
        return inputs["releaseVersion"]
    is_other_version = (inputs.get("version") or live.get("version")) != live.get("version")
    return None if is_other_version or live.get("amiType") == "CUSTOM" else live.get("releaseVersion")


# Codes of a group whose machines did not start. EKS may list another one before them (eksctl issue 4732), and goes on
# saying so until the group has grown again, also after it was made smaller (containers-roadmap issue 2326). And it says
# so a while after the update that asked for them has succeeded, so the Auto Scaling group is asked how many there are.
NOT_LAUNCHED = "contains(['AsgInstanceLaunchFailures', 'InsufficientFreeAddresses', 'InstanceLimitExceeded'], code)"
IN_SERVICE = Count(
    "autoscaling",
    "DescribeAutoScalingGroups",
    {"AutoScalingGroupNames": "answer.resources.autoScalingGroups[].name"},
    number="AutoScalingGroups[0] && length(AutoScalingGroups[].Instances[?LifecycleState=='InService'][])",
    needed="scalingConfig.minSize",
    overrules=f"status == 'DEGRADED' && health.issues[0] && !(health.issues[?!{NOT_LAUNCHED}])",
    noun="nodes in service",
    advice="the activity history of its Auto Scaling group says why the others do not start; mend that, or make the"
    " pool smaller, and run `up` again, which goes on from there",
)

NODEGROUP = Row(
    "meshaws:eks:Nodegroup",
    "eks",
    "EKS API CreateNodegroup",
    create=Call("CreateNodegroup", forward=True, transient=ROLE_SOON),
    id="join('|', [inputs.clusterName, inputs.nodegroupName])",
    read=Call("DescribeNodegroup", NODEGROUP_NAMES, path="nodegroup"),
    delete=Call("DeleteNodegroup", NODEGROUP_NAMES, transient=BUSY, patience_s=1800),
    adopt=Adopt(by="name", exists=TAKEN),
    not_found=NOT_FOUND,
    settings=(
        Setting(
            ("scalingConfig", EMPTY_UNTIL, "labels", "taints", "updateConfig", "nodeRepairConfig"),
            (
                Call(
                    "UpdateNodegroupConfig",
                    {
                        **NODEGROUP_NAMES,
                        "scalingConfig": _changed_scaling,
                        "labels": _changed_labels,
                        "taints": _changed_taints,
                        "updateConfig": "inputs.updateConfig",
                        "nodeRepairConfig": "inputs.nodeRepairConfig",
                    },
                    tolerate=UNCHANGED,
                ),
            ),
            wait=NODEGROUP_UPDATE,
        ),
        Setting(
            NODE_VERSION,
            (
                Call("DescribeNodegroup", NODEGROUP_NAMES, path="nodegroup"),
                Call("UpdateNodegroupConfig", {**NODEGROUP_NAMES, "scalingConfig": _no_nodes}, when=_is_full_block),
                Call("DescribeNodegroup", NODEGROUP_NAMES, path="nodegroup"),
                Call(
                    "UpdateNodegroupVersion",
                    {
                        **NODEGROUP_NAMES,
                        "launchTemplate": _launch_template,
                        "version": "inputs.version",
                        "releaseVersion": pinned_release,
                    },
                    when=_is_other_version,
                ),
                Call("DescribeNodegroup", NODEGROUP_NAMES, path="nodegroup"),
                Call(
                    "UpdateNodegroupConfig",
                    {**NODEGROUP_NAMES, "scalingConfig": "inputs.scalingConfig"},
                    when=_is_emptied_block,
                ),
            ),
            wait=NODEGROUP_UPDATE,
        ),
    ),
    tags=tags_of("nodegroupArn"),
    ready=Poll(
        "status",
        ok=("ACTIVE",),
        fail=("CREATE_FAILED", "DEGRADED", "DELETE_FAILED"),
        # a group that is to have no nodes lacks none, whatever it lacked before: its block has ended
        enough="status == 'DEGRADED' && scalingConfig.desiredSize == `0`",
        count=IN_SERVICE,
        code=f"(health.issues[?{NOT_LAUNCHED}].code | [0]) || health.issues[0].code",
        reason="join('; ', health.issues[].message)",
        every_s=15,
        timeout_s=3600,
    ),
    gone=Poll(
        "status",
        fail=("DELETE_FAILED",),
        code="health.issues[0].code",
        reason="join('; ', health.issues[].message)",
        every_s=15,
        timeout_s=3600,
    ),
    broken=("CREATE_FAILED",),
    noise=("modifiedAt",),
    opaque=(EMPTY_UNTIL,),
    # EKS refuses a desired size outside of the bounds
    bounded=(Bounded("scalingConfig", "desiredSize", "minSize", "maxSize", fixed_by=EMPTY_UNTIL),),
    extra_inputs=(EMPTY_UNTIL,),
    updates=NODEGROUP_UPDATES,
    # who has renewed the image by hand is not set back: all nodes would be replaced for it
    one_way=(OneWay("releaseVersion"),),
)

ROWS: tuple[Row, ...] = (CLUSTER, NODEGROUP)
