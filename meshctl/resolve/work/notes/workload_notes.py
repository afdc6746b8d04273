"""What may keep a workload from running here though it fits: its image's registry, its texts, its ports. PURE.

Called by `meshctl.resolve` for the notes of `check`, and by `meshctl.deploy.runs.plans` for those of what a plan
changes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from meshctl.model.deployment import Endpoint, Workload
from meshctl.model.files.units import seconds_text
from meshctl.model.keys import drains, elastic
from meshctl.model.pods import image_names, pod_users
from meshctl.platforms import registry
from meshctl.resolve.work.notes import user_notes

# Pods drop the right to listen below (NET_BIND_SERVICE), but for those with `user: root` or `image`. The runtime can
# give every user all ports of a pod's network (net.ipv4.ip_unprivileged_port_start): containerd 2.0 does by default
# (github.com/containerd/containerd, pull 9348), 1.x and CRI-O don't (github.com/kubernetes/kubernetes, issue 102612).
_FIRST_OPEN_PORT = 1024
_VLLM = "vllm-openai"  # the name of vLLM's own image, in whichever registry
_VLLM_WAITS = "--shutdown-timeout"
_KUBERNETES_REFERENCE = re.compile(r"\$\(([A-Za-z_][A-Za-z0-9_]*)\)")


def notes(
    provider: str, workload: Workload, endpoints: Iterable[Endpoint], mirrors: Iterable[str] = ()
) -> Iterator[str]:
    """Of one workload on the platform `provider`. `endpoints`: all of the mesh; `mirrors`: beginnings of images' names
    that are pulled from elsewhere here."""
    for image in dict.fromkeys([workload.image, *(step.image for step in workload.before)]):
        if image_names.beginning_of(image, mirrors) is None:
            yield from _registry_notes(provider, workload, image)
    yield from user_notes.notes(workload)
    yield from _reference_notes(workload)
    yield from _elastic_notes(workload)
    yield from _drain_notes(workload)
    for name, port in sorted(workload.ports.items()):
        if port < _FIRST_OPEN_PORT and not pod_users.has_runtime_capabilities(workload):
            yield (
                f"workload/{workload.name}: its port {name} is {port}; without rights of root a program can listen"
                f" below {_FIRST_OPEN_PORT} only where the nodes' container runtime lets it: containerd from 2.0 on"
                " does, containerd 1.x and CRI-O only when they are configured for it. A higher port works everywhere,"
                " and so does `user: root`"
            )
    platform = registry.platform(provider)
    has_time, is_asked = _drain_s(workload) > drains.UNSAID_S, workload.name in {e.workload for e in endpoints}
    if platform.load_balancers.through_nodes and has_time and is_asked:
        # kube-proxy calls a node unhealthy whose pods all end (KEP-1669); a network load balancer ends the connections
        # of such a target (ELB user guide, "Connection termination for unhealthy targets"), and the cluster's own
        # controller can't tell it otherwise (github.com/kubernetes/cloud-provider-aws, pull 1214: two attributes alone)
        yield (
            f"workload/{workload.name}: 10 to 20 s after the last ready pod on a node begins to terminate, the load"
            " balancer here closes that node's connections, whatever `drain` says: requests get the whole"
            f" {seconds_text(_drain_s(workload))} only if another pod of the workload is on the same node, or once"
            ' an attribute of the load balancer\'s target groups is set: docs/mesh.md, "The end of a pod"'
        )
    has_own_balancers = platform.cluster.made is not None or platform.load_balancers.tell_access
    names = [] if has_own_balancers else [each.name for each in endpoints if each.workload == workload.name]
    if names:
        yield (
            f"workload/{workload.name}: its endpoint{'s' * (len(names) > 1)} {', '.join(names)} needs something in the"
            " cluster that gives Services of type LoadBalancer an address, such as MetalLB; meshctl installs none"
        )


def _elastic_notes(workload: Workload) -> Iterator[str]:
    if not workload.is_elastic:
        return
    sizes = elastic.words(workload.least_nodes, workload.replicas)
    if workload.kai_queue:
        yield f"workload/{workload.name}: `elastic` has no effect where KAI Scheduler starts all pods or none"
    elif workload.queue:
        yield f"workload/{workload.name}: `elastic` has no effect in a queue, where Kueue starts all pods or none"
    else:
        yield f"workload/{workload.name}: works with {sizes}: all of them, until `meshctl shift` takes some"


def _drain_s(workload: Workload) -> int:
    """What its pods have to end their open requests, or are to get where the mesh does not say it and they are new."""
    if workload.drain_s is not None:
        return workload.drain_s
    return drains.DEFAULT_S if workload.kind == "inference" and not workload.is_grouped else drains.UNSAID_S


def _drain_notes(workload: Workload) -> Iterator[str]:
    """vLLM ends its open requests with an error at SIGTERM, unless it is told how long to wait for them
    (github.com/vllm-project/vllm, pull 36666 of March 2026: `--shutdown-timeout`, 0 by default)."""
    texts = (*workload.command, *workload.args)
    name = workload.image.split("@")[0].rpartition("/")[2].partition(":")[0]
    if name != _VLLM or not workload.ports or any(text.split("=")[0].endswith(_VLLM_WAITS) for text in texts):
        return
    yield (
        f"workload/{workload.name}: vLLM cuts open requests when its pod is taken away, whatever `drain` says; releases"
        f' from March 2026 on wait for them with `args: [{_VLLM_WAITS}, "{_drain_s(workload)}"]`'
    )


def _reference_notes(workload: Workload) -> Iterator[str]:
    """In a manifest of Kubernetes these would be replaced, and older versions of meshctl left that to it."""
    names = sorted(_references(workload))
    if names:
        listed = ", ".join(f"$({name})" for name in names)
        yield (
            f"workload/{workload.name}: {listed} in its texts stay{'s' * (len(names) == 1)} as written, since only"
            f" $(MESH_…) is replaced; a shell puts variables in: `command: [sh, -c, 'exec PROGRAM \"${names[0]}\"']`"
        )


def _references(workload: Workload) -> set[str]:
    """The names in `$(NAME)` of the workload's texts and of those of its steps, where they name a variable."""
    own = {*workload.env, *workload.secrets}
    names = own & _names_in(*workload.command, *workload.args, *workload.env.values())
    for step in workload.before:
        names |= {*own, *step.env} & _names_in(*step.command, *step.args, *step.env.values())
    return names


def _names_in(*texts: str) -> set[str]:
    return {name for text in texts for name in _KUBERNETES_REFERENCE.findall(text)}


def _registry_notes(provider: str, workload: Workload, image: str) -> Iterator[str]:
    for platform in registry.platforms():
        needs = platform.environment.own_registry(image) if platform.name != provider else ""
        if needs and workload.image_pull_secrets:
            yield f"workload/{workload.name}: {image}: {needs}"
        elif needs:
            yield (
                f"workload/{workload.name}: {image}: nodes that are not of the platform {platform.name} can't"
                f" pull it without imagePullSecrets; and {needs}"
            )
