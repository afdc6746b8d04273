"""References of environments.yaml: between its parts, and to the parts of a mesh. PURE.

Called by `meshctl.load` on the parsed files, as `references` is. It reads plain mappings and passes over anything of
the wrong shape, which validation reports.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from meshctl.model.files.file_problems import Path, Problem, items, mapping, missing
from meshctl.model.keys import job_order, neural_mesh
from meshctl.platforms import registry

NAMES_STACK = "edge"  # the stack of the endpoints' names: no environment's stack can be called so


def check_environments(data: object, pools: list[str] | None) -> list[Problem]:
    """Problems between the parts of environments.yaml, and of its references to `pools` (None: unreadable)."""
    document = mapping(data)
    problems: list[Problem] = []
    for name, environment in items(document, "environments"):
        at: Path = ("environments", name)
        if name == NAMES_STACK:
            problems.append((at, f'"{name}" is where the endpoints\' names are kept; choose another name'))
        problems.extend(((*at, *path), message) for path, message in _own_problems(environment, pools))
    for name, source in items(document, "secrets"):
        if len({"env", "file"} & source.keys()) != 1:
            problems.append((("secrets", name), 'needs exactly one of "env" and "file"'))
    return problems


def _own_problems(environment: dict[str, Any], pools: list[str] | None) -> list[Problem]:
    """The platform's own problems: between the keys of its section, and in its references to pools."""
    platform = registry.installed().platforms.get(str(environment.get("provider")))
    return platform.environment.problems(environment, pools) if platform is not None else []


def check_hosts(mesh: object, environments: object) -> list[Problem]:
    """Hosts of `mesh` that the DNS zone of `environments` can't hold; a zone given by its id tells nothing."""
    dns = mapping(mapping(environments).get("dns"))
    zone = str(dns.get("zone") or "").lower().rstrip(".")
    if "." not in zone:
        return []
    problems: list[Problem] = []
    for name, endpoint in items(mapping(mesh), "endpoints"):
        host, at = endpoint.get("host"), ("endpoints", name, "host")
        if host == zone:
            problems.append((at, f"{host} is the DNS zone itself, which can't point at a load balancer; add a label"))
        elif isinstance(host, str) and not host.endswith(f".{zone}"):
            problems.append((at, f"{host} is not in the DNS zone {zone} (dns.zone in environments.yaml)"))
    return problems


def check_overrides(mesh: object, environments: object) -> list[Problem]:
    """What environments.yaml says of workloads that the mesh doesn't have, or of variables that are secrets there."""
    workloads = dict(items(mapping(mesh), "workloads"))
    problems: list[Problem] = []
    for name, environment in items(mapping(environments), "environments"):
        for workload, override in items(environment, "workloads"):
            at: Path = ("environments", name, "workloads", workload)
            if workload != "*" and workloads:
                problems.extend(missing(at, "workload", workload, workloads))
            secrets = set(mapping(workloads.get(workload, {}).get("secrets")))
            if workload == "*":
                secrets = {variable for each in workloads.values() for variable in mapping(each.get("secrets"))}
            both = sorted(map(str, secrets & mapping(override.get("env")).keys()))
            problems += [((*at, "env", name), f'"{name}" is a secret of the workload in mesh.yaml') for name in both]
            kind = workloads.get(workload, {}).get("kind")
            if "queue" in override and kind is not None and kind not in job_order.JOB_KINDS:
                problems.append(((*at, "queue"), f"only jobs (training, batch) wait in a queue; this is {kind}"))
    return problems


def check_existing_storage(mesh: object, environments: object) -> list[Problem]:
    """What environments.yaml says of storage that the mesh doesn't have, or that can't be what it names."""
    declared = dict(items(mapping(mesh), "storage"))
    carried = {name: storage for name, storage in declared.items() if neural_mesh.is_carried(storage)}
    problems: list[Problem] = []
    for name, environment in items(mapping(environments), "environments"):
        users: dict[tuple[str, str], str] = {}  # what exists -> the storage that uses it
        for storage, existing in items(environment, "storage"):
            at: Path = ("environments", name, "storage", storage)
            problems.extend(missing(at, "storage", storage, declared))
            kind = declared.get(storage, {}).get("kind")
            problems.extend((at, message) for message in _existing_problems(existing, kind))
            problems.extend(neural_mesh.joined_problems(at, existing, declared.get(storage, {})))
            for key in ("bucket", "claim", "fileSystem"):
                value = existing.get(key)
                if isinstance(value, str) and users.setdefault((key, value), storage) != storage:
                    problems.append(((*at, key), f'"{value}" is used for storage {users[key, value]}, too'))
        section = mapping(environment.get("storage"))
        problems.extend(neural_mesh.unequal_joins(("environments", name, "storage"), section, carried))
    return problems


# Key of environments.yaml that names what exists -> its name in messages, and the kinds of storage that it can be.
_EXISTING = {
    "bucket": ("a bucket", ("object",)),
    "claim": ("a claim", ("filesystem", "block")),
    "nfs": ("an NFS export", ("filesystem",)),
    "fileSystem": ("a file system", ("filesystem",)),
    "weka": ("a file system of a WEKA cluster", ("filesystem",)),
}


def _existing_problems(existing: dict[str, Any], kind: object) -> Iterator[str]:
    """Problems of one entry. `kind`: of the mesh's storage; None if the mesh has no such storage, or names no kind."""
    keys = [key for key in _EXISTING if key in existing]
    if len(keys) != 1:
        yield f"needs one of {', '.join(_EXISTING)}{', and not more' if keys else ''}"
        return
    what, kinds = _EXISTING[keys[0]]
    if isinstance(kind, str) and kind not in kinds:
        yield f"only storage of kind {' or '.join(kinds)} can be {what} that exists; this is {kind}"
    if "mountOptions" in existing and keys[0] != "nfs":
        yield f"mountOptions are those of an NFS export; {what} has none"
