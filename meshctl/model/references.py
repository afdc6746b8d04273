"""References between the parts of a mesh: every name must name something, and parts must go together. PURE.

Called by `meshctl.load` on the parsed file, before or beside its validation, so that all problems show in one run. It
therefore reads plain mappings and passes over anything of the wrong shape, which validation reports.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from typing import Any

from meshctl.model import gateways, job_order, object_names, pod_users, scaling
from meshctl.model import health as health_words
from meshctl.platforms import registry

Path = tuple[str | int, ...]
Problem = tuple[Path, str]
NAMES_STACK = "edge"  # the stack of the endpoints' names: no environment's stack can be called so


def suggestion(name: object, names: Iterable[str]) -> str:
    """`; did you mean "backend"?`, or nothing when no known name is near."""
    near = difflib.get_close_matches(str(name), list(names), n=1, cutoff=0.6)
    return f'; did you mean "{near[0]}"?' if near else ""


def check_mesh(data: object) -> list[Problem]:
    """All broken references of a mesh, in the file's own order of sections.

    Returns: (path, message) pairs; the path leads to the offending value.
    """
    mesh = _mapping(data)
    return [*_pools(mesh), *_storage(mesh), *_workloads(mesh), *_endpoints(mesh), *_object_names(mesh)]


def check_jobs(data: object) -> list[Problem]:
    """What asks for requests to the pods of jobs, which older versions took. It forbids to bring the mesh up, and not
    to look at what is up or to delete it: see `Mesh.mistakes`."""
    mesh = _mapping(data)
    workloads = _mapping(mesh.get("workloads"))
    problems: list[Problem] = []
    for name, workload in _items(mesh, "workloads"):
        if workload.get("kind") in job_order.JOB_KINDS and workload.get("health") is not None:
            problems.append((("workloads", name, "health"), _no_health(workload["kind"])))
    for name, endpoint in _items(mesh, "endpoints"):
        target = _mapping(workloads.get(str(endpoint.get("workload"))))
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


def check_environments(data: object, pools: list[str] | None) -> list[Problem]:
    """Problems between the parts of environments.yaml, and of its references to `pools` (None: unreadable)."""
    document = _mapping(data)
    problems: list[Problem] = []
    for name, environment in _items(document, "environments"):
        at: Path = ("environments", name)
        if name == NAMES_STACK:
            problems.append((at, f'"{name}" is where the endpoints\' names are kept; choose another name'))
        problems.extend(((*at, *path), message) for path, message in _own_problems(environment, pools))
    for name, source in _items(document, "secrets"):
        if len({"env", "file"} & source.keys()) != 1:
            problems.append((("secrets", name), 'needs exactly one of "env" and "file"'))
    return problems


def _own_problems(environment: dict[str, Any], pools: list[str] | None) -> list[Problem]:
    """What its platform finds between the keys of its section, and in its references to pools."""
    platform = registry.installed().platforms.get(str(environment.get("provider")))
    return platform.environment.problems(environment, pools) if platform is not None else []


def check_hosts(mesh: object, environments: object) -> list[Problem]:
    """Hosts of `mesh` that the DNS zone of `environments` can't hold; a zone given by its id tells nothing."""
    dns = _mapping(_mapping(environments).get("dns"))
    zone = str(dns.get("zone") or "").lower().rstrip(".")
    if "." not in zone:
        return []
    problems: list[Problem] = []
    for name, endpoint in _items(_mapping(mesh), "endpoints"):
        host, at = endpoint.get("host"), ("endpoints", name, "host")
        if host == zone:
            problems.append((at, f"{host} is the DNS zone itself, which can't point at a load balancer; add a label"))
        elif isinstance(host, str) and not host.endswith(f".{zone}"):
            problems.append((at, f"{host} is not in the DNS zone {zone} (dns.zone in environments.yaml)"))
    return problems


def check_overrides(mesh: object, environments: object) -> list[Problem]:
    """What environments.yaml says of workloads that the mesh doesn't have, or of variables that are secrets there."""
    workloads = dict(_items(_mapping(mesh), "workloads"))
    problems: list[Problem] = []
    for name, environment in _items(_mapping(environments), "environments"):
        for workload, override in _items(environment, "workloads"):
            at: Path = ("environments", name, "workloads", workload)
            if workload != "*" and workloads:
                problems.extend(missing(at, "workload", workload, workloads))
            secrets = set(_mapping(workloads.get(workload, {}).get("secrets")))
            if workload == "*":
                secrets = {variable for each in workloads.values() for variable in _mapping(each.get("secrets"))}
            both = sorted(map(str, secrets & _mapping(override.get("env")).keys()))
            problems += [((*at, "env", name), f'"{name}" is a secret of the workload in mesh.yaml') for name in both]
            kind = workloads.get(workload, {}).get("kind")
            if "queue" in override and kind is not None and kind not in job_order.JOB_KINDS:
                problems.append(((*at, "queue"), f"only jobs (training, batch) wait in a queue; this is {kind}"))
    return problems


def check_existing_storage(mesh: object, environments: object) -> list[Problem]:
    """What environments.yaml says of storage that the mesh doesn't have, or that can't be what it names."""
    declared = dict(_items(_mapping(mesh), "storage"))
    problems: list[Problem] = []
    for name, environment in _items(_mapping(environments), "environments"):
        users: dict[tuple[str, str], str] = {}  # what exists -> the storage that uses it
        for storage, existing in _items(environment, "storage"):
            at: Path = ("environments", name, "storage", storage)
            problems.extend(missing(at, "storage", storage, declared))
            kind = declared.get(storage, {}).get("kind")
            problems.extend((at, message) for message in _existing_problems(existing, kind))
            for key in ("bucket", "claim", "fileSystem"):
                value = existing.get(key)
                if isinstance(value, str) and users.setdefault((key, value), storage) != storage:
                    problems.append(((*at, key), f'"{value}" is used for storage {users[key, value]}, too'))
    return problems


# by the key of environments.yaml that names what exists: what that is, and the kinds of storage that it can be
_EXISTING = {
    "bucket": ("a bucket", ("object",)),
    "claim": ("a claim", ("filesystem", "block")),
    "nfs": ("an NFS export", ("filesystem",)),
    "fileSystem": ("a file system", ("filesystem",)),
}


def _existing_problems(existing: dict[str, Any], kind: object) -> Iterator[str]:
    """Of one entry. `kind`: of the mesh's storage; None where it has no such storage, or no kind."""
    keys = [key for key in _EXISTING if key in existing]
    if len(keys) != 1:
        yield f"needs one of {', '.join(_EXISTING)}{', and not more' if keys else ''}"
        return
    what, kinds = _EXISTING[keys[0]]
    if isinstance(kind, str) and kind not in kinds:
        yield f"only storage of kind {' or '.join(kinds)} can be {what} that exists; this is {kind}"
    if "mountOptions" in existing and keys[0] != "nfs":
        yield f"mountOptions are those of an NFS export; {what} has none"


def _pools(mesh: dict[str, Any]) -> Iterator[Problem]:
    fabrics = _mapping(mesh.get("fabrics"))
    for name, pool in _items(mesh, "pools"):
        yield from missing(("pools", name, "fabric"), "fabric", pool.get("fabric"), fabrics)
        nodes = pool.get("nodes")
        if isinstance(nodes, dict) and _int(nodes.get("min")) > _int(nodes.get("max")) > 0:
            yield ("pools", name, "nodes", "min"), f"min {nodes['min']} is more than max {nodes['max']}"


def _storage(mesh: dict[str, Any]) -> Iterator[Problem]:
    for name, storage in _items(mesh, "storage"):
        for key in ("throughput", "engine"):
            if key in storage and storage.get("kind") in ("object", "block", "local"):
                yield ("storage", name, key), f"only for kind filesystem, not {storage['kind']}"
        if "ephemeral" in storage and storage.get("kind") == "local":
            yield ("storage", name, "ephemeral"), "local storage always goes with its pod; leave this out"


def _workloads(mesh: dict[str, Any]) -> Iterator[Problem]:
    for name, workload in _items(mesh, "workloads"):
        at: Path = ("workloads", name)
        yield from missing((*at, "pool"), "pool", workload.get("pool"), _mapping(mesh.get("pools")))
        yield from _mounts(mesh, workload, at)
        yield from _size(workload, at)
        yield from _all_of_none(mesh, workload, at)
        yield from _closed_to_user(workload, at)
        yield from _file_paths(workload, at)
        ports = _mapping(workload.get("ports"))
        health = _mapping(workload.get("health"))
        yield from missing((*at, "health", "port"), "port", health.get("port"), ports)
        yield from (((*at, "health", key), message) for key, message in health_words.problems(health))
        yield from missing((*at, "metrics", "port"), "port", _mapping(workload.get("metrics")).get("port"), ports)
        yield from _twice(ports, (*at, "ports"), "port number")
        both = _mapping(workload.get("env")).keys() & _mapping(workload.get("secrets")).keys()
        for variable in sorted(map(str, both)):
            yield (*at, "secrets", variable), f'"{variable}" is set by env too'
        yield from _unknown_jobs(mesh, workload, (*at, "after"))
    yield from job_order.problems(dict(_items(mesh, "workloads")))


def _unknown_jobs(mesh: dict[str, Any], workload: dict[str, Any], at: Path) -> Iterator[Problem]:
    names = workload.get("after")
    for index, name in enumerate(names if isinstance(names, list) else ()):
        yield from missing((*at, index), "workload", name, _mapping(mesh.get("workloads")))


def _size(workload: dict[str, Any], at: Path) -> Iterator[Problem]:
    training = workload.get("kind") == "training"
    if training and "replicas" in workload:
        yield (*at, "replicas"), 'a training workload has "nodes" (a gang: all or none), not "replicas"'
    yield from (((*at, *path), message) for path, message in scaling.problems(workload))
    if workload.get("kind") == "batch" and "nodes" in workload:
        message = 'a batch job has "replicas", which know nothing of each other, not "nodes"'
        yield (*at, "nodes"), f"{message}; for one job on several nodes write `kind: training`"
    if not training and "checkpoint" in workload and "kind" in workload:
        yield (*at, "checkpoint"), "only a training workload has a checkpoint"


def _all_of_none(mesh: dict[str, Any], workload: dict[str, Any], at: Path) -> Iterator[Problem]:
    pool = _mapping(_mapping(mesh.get("pools")).get(str(workload.get("pool"))))
    section, key = "resources", "accelerators"
    if _mapping(workload.get(section)).get(key) == "all" and pool and "accelerator" not in pool:
        message = f'the nodes of pool "{workload["pool"]}" have none; give it an `accelerator`, or leave this out'
        yield (*at, section, key), message


def _mounts(mesh: dict[str, Any], workload: dict[str, Any], at: Path) -> Iterator[Problem]:
    stores = _mapping(mesh.get("storage"))
    mounts = _mapping(workload.get("mounts"))
    local = {name for name, storage in _items(mesh, "storage") if storage.get("kind") == "local"}
    for name, mount in mounts.items():
        yield from missing((*at, "mounts", name), "storage", name, stores)
        if name in local and _mapping(mount).get("readOnly") is True:
            yield (
                (*at, "mounts", name, "readOnly"),
                "local storage is empty when a pod starts, and this one can't fill it",
            )
    paths = {name: _normal(_mapping(mount).get("path")) for name, mount in mounts.items()}
    yield from _twice(paths, (*at, "mounts"), "path")
    storage = _mapping(workload.get("checkpoint")).get("storage")
    where: Path = (*at, "checkpoint", "storage")
    yield from missing(where, "storage", storage, stores)
    if isinstance(storage, str) and storage in stores and storage not in mounts:
        yield where, f'"{storage}" is not mounted by this workload; add it to its mounts'
    if isinstance(storage, str) and storage in local:
        yield where, "local storage goes with its pod, and checkpoints with it; use an object store or a file system"


def _closed_to_user(workload: dict[str, Any], at: Path) -> Iterator[Problem]:
    """Paths below /root, which other users than root can't enter."""
    user = workload.get("user", pod_users.DEFAULT_ID)
    if user in ("root", "image"):
        return
    mounts = _mapping(workload.get("mounts"))
    paths: list[tuple[Path, object]] = [((*at, "workingDir"), workload.get("workingDir"))]
    paths += [((*at, "mounts", name, "path"), _mapping(mount).get("path")) for name, mount in mounts.items()]
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
    named: list[tuple[Path, str]] = []
    for name, workload in _items(_mapping(data), "workloads"):
        entries = _mapping(workload.get("files")).items()
        named += [
            (("workloads", name, "files", path), file) for path, file in entries if isinstance(file, str) and file
        ]
    return named


def _paths_of_files(workload: dict[str, Any], at: Path) -> list[tuple[Path, str]]:
    """Where the workload wants files in its pods, those of secrets included."""
    return [
        ((*at, key, path), path)
        for key in ("files", "secrets")
        for path in _mapping(workload.get(key))
        if isinstance(path, str) and path.startswith("/")
    ]


def _file_paths(workload: dict[str, Any], at: Path) -> Iterator[Problem]:
    """Each path holds one thing: a mount, a file, or a folder with some of them."""
    mounts = {
        str(_normal(path)): f"the mount of storage {name}"
        for name, mount in _mapping(workload.get("mounts")).items()
        if isinstance(path := _mapping(mount).get("path"), str)
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
    workloads = _mapping(mesh.get("workloads"))
    for name, endpoint in _items(mesh, "endpoints"):
        at: Path = ("endpoints", name)
        yield from _port_of((*at, "workload"), (*at, "port"), endpoint.get("workload"), endpoint.get("port"), workloads)
        for path, target in gateways.targets(endpoint.get("routes")):
            yield from _port_of((*at, "routes", path), (*at, "routes", path), *gateways.split(target), workloads)
        yield from (((*at, *path), message) for path, message in gateways.problems(endpoint, workloads))
    hosts = {name: endpoint.get("host") for name, endpoint in _items(mesh, "endpoints")}
    yield from _twice(hosts, ("endpoints",), "host", key="host")
    yield from _source_networks(mesh)


def _port_of(at: Path, at_port: Path, name: object, port: object, workloads: dict[str, Any]) -> Iterator[Problem]:
    """That there is a workload of that name, with a port of that name."""
    yield from missing(at, "workload", name, workloads)
    workload = workloads.get(name) if isinstance(name, str) else None
    if isinstance(workload, dict):
        yield from missing(at_port, "port", port, _mapping(workload.get("ports")))


def _source_networks(mesh: dict[str, Any]) -> Iterator[Problem]:
    """The public endpoints of a workload have one load balancer, and so one list of networks."""
    first: dict[str, tuple[str, list[str]]] = {}
    for name, endpoint in _items(mesh, "endpoints"):
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


def missing(path: Path, kind: str, name: object, names: Iterable[str]) -> Iterator[Problem]:
    """That `known` has no such name, with the nearest one. For platforms as well, of what their sections name."""
    names = [str(item) for item in names]
    if isinstance(name, str) and name not in names:
        yield path, f'no {kind} named "{name}"{suggestion(name, names)}'


def _twice(values: dict[str, Any], at: Path, what: str, *, key: str = "") -> Iterator[Problem]:
    seen: dict[object, str] = {}
    for name, value in values.items():
        if not isinstance(value, str | int):
            continue
        if value in seen:
            yield (*at, name, key) if key else (*at, name), f'{what} {value} is taken by "{seen[value]}" already'
        seen.setdefault(value, name)


def _items(document: dict[str, Any], section: str) -> list[tuple[str, dict[str, Any]]]:
    entries = _mapping(document.get(section)).items()
    return [(name, entry) for name, entry in entries if isinstance(name, str) and isinstance(entry, dict)]


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _int(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
