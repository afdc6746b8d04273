"""References between the parts of a mesh: every name must name something, and parts must go together. PURE.

Called by `meshctl.load` on the parsed file, before or beside its validation, so that all problems show in one run. It
therefore reads plain mappings and passes over anything of the wrong shape, which validation reports.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from meshctl.model.files.file_problems import Path, Problem, items, mapping, missing
from meshctl.model.keys import drains, elastic, gateways, job_order, lending, neural_mesh, scaling
from meshctl.model.keys import health as health_words
from meshctl.model.pods import object_names, pod_users


def check_mesh(data: object) -> list[Problem]:
    """All broken references of a mesh, in the file's own order of sections.

    Returns: (path, message) pairs; the path leads to the offending value.
    """
    mesh = mapping(data)
    return [*_pools(mesh), *_storage(mesh), *_workloads(mesh), *_endpoints(mesh), *_object_names(mesh)]


def check_jobs(data: object) -> list[Problem]:
    """What asks for requests to the pods of jobs, which older versions took. It forbids to bring the mesh up, and not
    to look at what is up or to delete it: see `Mesh.mistakes`."""
    mesh = mapping(data)
    workloads = mapping(mesh.get("workloads"))
    problems: list[Problem] = []
    for name, workload in items(mesh, "workloads"):
        if workload.get("kind") in job_order.JOB_KINDS and workload.get("health") is not None:
            problems.append((("workloads", name, "health"), _no_health(workload["kind"])))
    for name, endpoint in items(mesh, "endpoints"):
        target = mapping(workloads.get(str(endpoint.get("workload"))))
        if target.get("kind") in job_order.JOB_KINDS:
            message = _no_endpoint(str(endpoint["workload"]), target["kind"])
            problems.append((("endpoints", name, "workload"), message))
    return problems


def _no_health(kind: str) -> str:
    return (
        f"a {kind} job has no health: nobody sends it requests, and a pod of it runs until its program ends, which is"
        " how it is known to be alive. Remove `health`, or use `kind: service` for what answers requests;"
        " it can have `nodes`, too"
    )


def _no_endpoint(name: str, kind: str) -> str:
    pods = "rank of the gang" if kind == "training" else "pod of the job"
    message = (
        f'"{name}" is a {kind} job: its endpoint would send requests to every {pods}. Remove the endpoint, or use'
        " `kind: service` for what answers requests, which can have `nodes`, too"
    )
    return f"{message}; inside the mesh rank 0 is reached at {name}-0.{name}" if kind == "training" else message


def _pools(mesh: dict[str, Any]) -> Iterator[Problem]:
    fabrics = mapping(mesh.get("fabrics"))
    for name, pool in items(mesh, "pools"):
        yield from missing(("pools", name, "fabric"), "fabric", pool.get("fabric"), fabrics)
        nodes = pool.get("nodes")
        if isinstance(nodes, dict) and _int(nodes.get("min")) > _int(nodes.get("max")) > 0:
            yield ("pools", name, "nodes", "min"), f"min {nodes['min']} is more than max {nodes['max']}"
    yield from lending.problems(
        dict(items(mesh, "pools")), dict(items(mesh, "workloads")), mapping(mesh.get("storage"))
    )


def _storage(mesh: dict[str, Any]) -> Iterator[Problem]:
    for name, storage in items(mesh, "storage"):
        for key in ("throughput", "engine"):
            if key in storage and storage.get("kind") in ("object", "block", "local"):
                yield ("storage", name, key), f"only for kind filesystem, not {storage['kind']}"
        if "ephemeral" in storage and storage.get("kind") == "local":
            yield ("storage", name, "ephemeral"), "local storage always goes with its pod; leave this out"
    yield from neural_mesh.problems(mesh)


def _workloads(mesh: dict[str, Any]) -> Iterator[Problem]:
    for name, workload in items(mesh, "workloads"):
        at: Path = ("workloads", name)
        yield from missing((*at, "pool"), "pool", workload.get("pool"), mapping(mesh.get("pools")))
        yield from _mounts(mesh, workload, at)
        yield from _size(workload, at)
        others = (mapping(mesh.get(section)) for section in ("endpoints", "storage"))
        asleep = scaling.sleep_problems(name, workload, *others)
        yield from (((*at, *path), message) for path, message in asleep)
        yield from (((*at, *path), message) for path, message in elastic.problems(mesh, workload))
        yield from _all_of_none(mesh, workload, at)
        yield from _closed_to_user(workload, at)
        yield from _file_paths(workload, at)
        ports = mapping(workload.get("ports"))
        health = mapping(workload.get("health"))
        yield from missing((*at, "health", "port"), "port", health.get("port"), ports)
        yield from (((*at, "health", key), message) for key, message in health_words.problems(health))
        yield from missing((*at, "metrics", "port"), "port", mapping(workload.get("metrics")).get("port"), ports)
        yield from _twice(ports, (*at, "ports"), "port number")
        both = mapping(workload.get("env")).keys() & mapping(workload.get("secrets")).keys()
        for variable in sorted(map(str, both)):
            yield (*at, "secrets", variable), f'"{variable}" is set by env too'
        yield from _unknown_jobs(mesh, workload, (*at, "after"))
    yield from job_order.problems(dict(items(mesh, "workloads")))


def _unknown_jobs(mesh: dict[str, Any], workload: dict[str, Any], at: Path) -> Iterator[Problem]:
    names = workload.get("after")
    for index, name in enumerate(names if isinstance(names, list) else ()):
        yield from missing((*at, index), "workload", name, mapping(mesh.get("workloads")))


def _size(workload: dict[str, Any], at: Path) -> Iterator[Problem]:
    training = workload.get("kind") == "training"
    if training and "replicas" in workload:
        yield (*at, "replicas"), 'a training workload has "nodes" (a gang: all or none), not "replicas"'
    yield from (((*at, *path), message) for path, message in scaling.problems(workload))
    yield from (((*at, *path), message) for path, message in drains.problems(workload))
    if workload.get("kind") == "batch" and "nodes" in workload:
        message = 'a batch job has "replicas", whose pods work each for itself, not "nodes"'
        yield (*at, "nodes"), f"{message}; for one job on several nodes write `kind: training`"
    if not training and "checkpoint" in workload and "kind" in workload:
        yield (*at, "checkpoint"), "only a training workload has a checkpoint"


def _all_of_none(mesh: dict[str, Any], workload: dict[str, Any], at: Path) -> Iterator[Problem]:
    pool = mapping(mapping(mesh.get("pools")).get(str(workload.get("pool"))))
    section, key = "resources", "accelerators"
    if mapping(workload.get(section)).get(key) == "all" and pool and "accelerator" not in pool:
        message = f'the nodes of pool "{workload["pool"]}" have none; give it an `accelerator`, or leave this out'
        yield (*at, section, key), message


def _mounts(mesh: dict[str, Any], workload: dict[str, Any], at: Path) -> Iterator[Problem]:
    stores = mapping(mesh.get("storage"))
    mounts = mapping(workload.get("mounts"))
    local = {name for name, storage in items(mesh, "storage") if storage.get("kind") == "local"}
    for name, mount in mounts.items():
        yield from missing((*at, "mounts", name), "storage", name, stores)
        if name in local and mapping(mount).get("readOnly") is True:
            yield (
                (*at, "mounts", name, "readOnly"),
                "local storage is empty when a pod starts, and with `readOnly` nothing can be written into it",
            )
    paths = {name: _normal(mapping(mount).get("path")) for name, mount in mounts.items()}
    yield from _twice(paths, (*at, "mounts"), "path")
    storage = mapping(workload.get("checkpoint")).get("storage")
    where: Path = (*at, "checkpoint", "storage")
    yield from missing(where, "storage", storage, stores)
    if isinstance(storage, str) and storage in stores and storage not in mounts:
        yield where, f'"{storage}" is not mounted by this workload; add it to its mounts'
    if isinstance(storage, str) and storage in local:
        yield (
            where,
            "local storage is deleted with its pod, and the checkpoints with it; use an object store or a file system",
        )


def _closed_to_user(workload: dict[str, Any], at: Path) -> Iterator[Problem]:
    """Paths below /root, which other users than root can't enter."""
    user = workload.get("user", pod_users.DEFAULT_ID)
    if user in ("root", "image"):
        return
    mounts = mapping(workload.get("mounts"))
    paths: list[tuple[Path, object]] = [((*at, "workingDir"), workload.get("workingDir"))]
    paths += [((*at, "mounts", name, "path"), mapping(mount).get("path")) for name, mount in mounts.items()]
    paths += [(where, path) for where, path in _paths_of_files(workload, at)]
    for where, path in paths:
        parts = [part for part in path.split("/") if part not in ("", ".")] if isinstance(path, str) else []
        if parts[:1] == ["root"] and ".." not in parts:
            hint = "use another folder and tell the program (HF_HOME for models of Hugging Face)"
            if where[-1] == "workingDir":
                hint = "use another folder"
            yield (
                where,
                f"\"{path}\" can't be used: pods run as user {user}, who can't enter it;"
                f" write `user: root` for this workload, or {hint}",
            )


def files(data: object) -> list[tuple[Path, str]]:
    """The files beside mesh.yaml that workloads name: where, and their names."""
    file_names: list[tuple[Path, str]] = []
    for name, workload in items(mapping(data), "workloads"):
        entries = mapping(workload.get("files")).items()
        file_names += [
            (("workloads", name, "files", path), file) for path, file in entries if isinstance(file, str) and file
        ]
    return file_names


def _paths_of_files(workload: dict[str, Any], at: Path) -> list[tuple[Path, str]]:
    """Where the workload wants files in its pods, those of secrets included."""
    return [
        ((*at, key, path), path)
        for key in ("files", "secrets")
        for path in mapping(workload.get(key))
        if isinstance(path, str) and path.startswith("/")
    ]


def _file_paths(workload: dict[str, Any], at: Path) -> Iterator[Problem]:
    """Each path holds one thing: a mount, a file, or a folder with some of them."""
    mounts = {
        str(_normal(path)): f"the mount of storage {name}"
        for name, mount in mapping(workload.get("mounts")).items()
        if isinstance(path := mapping(mount).get("path"), str)
    }
    taken: dict[str, str] = {}
    for where, path in _paths_of_files(workload, at):
        owners = {**mounts, **taken}
        over = next((owner for owner in owners if f"{path}/".startswith(f"{owner}/")), None)
        below = next((owner for owner in owners if owner.startswith(f"{path}/")), None)
        if over == path:
            yield where, f'"{path}" is taken by {owners[path]} already'
        elif over is not None:
            yield where, f'"{path}" lies inside of {owners[over]} at {over}; choose a path outside of it'
        elif below is not None:
            yield where, f'"{path}" is a file, and {owners[below]} at {below} needs it to be a folder'
        taken.setdefault(path, f"the file in {where[-2]}")


def _normal(path: object) -> object:
    """`/data/` and `/data` are one place."""
    return path.rstrip("/") or path if isinstance(path, str) else path


def _endpoints(mesh: dict[str, Any]) -> Iterator[Problem]:
    workloads = mapping(mesh.get("workloads"))
    for name, endpoint in items(mesh, "endpoints"):
        at: Path = ("endpoints", name)
        yield from _port_of((*at, "workload"), (*at, "port"), endpoint.get("workload"), endpoint.get("port"), workloads)
        for path, target in gateways.targets(endpoint.get("routes")):
            yield from _port_of((*at, "routes", path), (*at, "routes", path), *gateways.split(target), workloads)
        yield from (((*at, *path), message) for path, message in gateways.problems(endpoint, workloads))
    hosts = {name: endpoint.get("host") for name, endpoint in items(mesh, "endpoints")}
    yield from _twice(hosts, ("endpoints",), "host", key="host")
    yield from _source_networks(mesh)


def _port_of(at: Path, at_port: Path, name: object, port: object, workloads: dict[str, Any]) -> Iterator[Problem]:
    """That there is a workload of that name, with a port of that name."""
    yield from missing(at, "workload", name, workloads)
    workload = workloads.get(name) if isinstance(name, str) else None
    if isinstance(workload, dict):
        yield from missing(at_port, "port", port, mapping(workload.get("ports")))


def _source_networks(mesh: dict[str, Any]) -> Iterator[Problem]:
    """The public endpoints of a workload have one load balancer, and so one list of networks."""
    first: dict[str, tuple[str, list[str]]] = {}
    for name, endpoint in items(mesh, "endpoints"):
        cidrs, at = endpoint.get("cidrs"), ("endpoints", name, "cidrs")
        if cidrs is not None and endpoint.get("access") == "internal":
            yield at, "only public endpoints have `cidrs`; leave it out: what is inside the network reaches this one"
        elif cidrs is not None and "access" not in endpoint:
            yield at, "`cidrs` belongs to public endpoints; write `access: public` beside it"
        if endpoint.get("access") == "internal":
            continue
        networks = sorted(map(str, cidrs)) if isinstance(cidrs, list) else []
        if gateways.needs_gateway(endpoint):  # has a load balancer of its own
            continue
        other, others = first.setdefault(str(endpoint.get("workload")), (name, networks))
        if networks != others:
            path: Path = at if cidrs is not None else ("endpoints", name)
            yield (
                path,
                (
                    f'endpoint "{other}" of this workload has other `cidrs`, and both have one load balancer;'
                    f" write the same `cidrs` into both{'' if 'access' in endpoint else ', or `access: internal`'}"
                ),
            )


def _object_names(mesh: dict[str, Any]) -> Iterator[Problem]:
    """Two things of a mesh may want one Kubernetes name: workload `a-public` beside workload `a` with an endpoint."""
    first: dict[tuple[str, str], Path] = {}
    for path, kind, name in object_names.objects(mesh):
        other = first.setdefault((kind, name), path)
        if other != path:
            taken = ".".join(map(str, other))
            yield path, f'its {kind} would be called "{name}", as one of {taken}; rename one of them'


def _twice(values: dict[str, Any], at: Path, what: str, *, key: str = "") -> Iterator[Problem]:
    seen: dict[object, str] = {}
    for name, value in values.items():
        if not isinstance(value, str | int):
            continue
        if value in seen:
            yield (*at, name, key) if key else (*at, name), f'{what} {value} is taken by "{seen[value]}" already'
        seen.setdefault(value, name)


def _int(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
