"""Which cluster a kubeconfig chooses, and as which user: files joined as kubectl joins them, then one context. EDGE.

meshctl (`clients.kubernetes.cluster_access`) and the kubernetes provider both ask this module, since they must reach
the same cluster: what meshctl has looked at is what the provider changes. The reference is client-go, which kubectl and
the official plugin use. Unlike them, meshctl does not fall back to the service account of a pod that it may run in.
`meshwire.kubernetes.target` makes typed values of the choice.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

VARIABLE: Final = "KUBECONFIG"
DEFAULT_PLACE: Final = "~/.kube/config"
FILE_KEYS: Final = ("certificate-authority", "client-certificate", "client-key", "tokenFile")
_KINDS: Final = {"clusters": "cluster", "contexts": "context", "users": "user"}
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class KubeconfigError(Exception):
    """The kubeconfig is not there, can't be read, or chooses no cluster. The text says why, and in which file."""


@dataclass(frozen=True)
class Entry:
    """A cluster, a context or a user: its keys, and `source`, the file that it stands in."""

    values: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""


@dataclass(frozen=True)
class Kubeconfig:
    """One document, or several that were joined. Paths in it don't depend on where it was read."""

    current_context: Any
    clusters: dict[str, Entry]
    contexts: dict[str, Entry]
    users: dict[str, Entry]


@dataclass(frozen=True)
class Choice:
    """What one context names. `user` has no keys where the context names none."""

    name: str
    context: Entry
    cluster: Entry
    user: Entry


def standard_place() -> str:
    """Where a kubeconfig is looked for when none is given, in words."""
    return f"${VARIABLE}" if os.environ.get(VARIABLE) else DEFAULT_PLACE


def is_content(given: str) -> bool:
    """Whether `given` is a kubeconfig itself, in YAML or JSON, and not the path of one."""
    return "\n" in given or given.lstrip().startswith("{")


def choose(given: str, *, context: str = "", cluster: str = "") -> Choice:
    """What `context`, or else the current context, names in the kubeconfigs that `given` names.

    `given` is content (YAML or JSON), or paths joined by `:`, or empty for the standard place. `cluster` takes the
    place of the context's own. Files with certificates and tokens are not looked at; `kubeconfig_files` does that.

    Raises: KubeconfigError.
    """
    joined = join(documents(given))
    name = context or joined.current_context
    if not name:
        names = ", ".join(joined.contexts) or "no contexts at all"
        raise KubeconfigError(f"the kubeconfig has no current context; it has {names}")
    chosen = _entry_of(joined.contexts, name, "context")
    user = chosen.values.get("user")
    return Choice(
        name=name,
        context=chosen,
        cluster=_entry_of(joined.clusters, cluster or chosen.values.get("cluster", ""), "cluster"),
        user=_entry_of(joined.users, user, "user") if user else Entry(),
    )


def _entry_of(entries: Mapping[str, Entry], name: Any, what: str) -> Entry:
    if not isinstance(name, str) or name not in entries:
        raise KubeconfigError(f'the kubeconfig has no {what} "{name}"; it has {", ".join(entries) or "none"}')
    return entries[name]


def join(kubeconfigs: list[Kubeconfig]) -> Kubeconfig:
    """Several files as one: the first to name something wins, also where another has more keys for it."""
    joined = Kubeconfig(None, {}, {}, {})
    for later in kubeconfigs:
        joined = Kubeconfig(
            joined.current_context or later.current_context,
            _first_of_each_name(joined.clusters, later.clusters),
            _first_of_each_name(joined.contexts, later.contexts),
            _first_of_each_name(joined.users, later.users),
        )
    return joined


def _first_of_each_name(entries: dict[str, Entry], later: dict[str, Entry]) -> dict[str, Entry]:
    return entries | {name: entry for name, entry in later.items() if name not in entries}


def documents(given: str) -> list[Kubeconfig]:
    """The kubeconfigs that `given` names, see `choose`. Files that do not exist are passed over, as long as one does.

    Raises: KubeconfigError.
    """
    if is_content(given):
        return [_parsed(given, Path.cwd(), "the kubeconfig that was given")]
    places_text = given or os.environ.get(VARIABLE) or DEFAULT_PLACE
    paths = [expanded(part) for part in places_text.split(os.pathsep) if part]
    existing = [path for path in paths if _is_file(path)]
    if not existing:
        places = ", ".join(map(str, paths)) or repr(places_text)
        raise KubeconfigError(f"there is no kubeconfig at {places}" + ("" if given else f" ({standard_place()})"))
    return [_parsed(_content(path), path.parent, str(path)) for path in existing]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError) as error:  # a name that is too long or has a NUL, a folder that may not be read
        raise KubeconfigError(f"{path}: {getattr(error, 'strerror', None) or error}") from error


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise KubeconfigError(f"{path}: {error.strerror or error}") from error


def expanded(path: str) -> Path:
    """The path with its `~` replaced. Raises: KubeconfigError for a user who does not exist."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        user = Path(path).parts[0]
        whose = f"there is no user {user[1:]} on this machine" if user != "~" else "HOME is not set"
        raise KubeconfigError(f"{path}: no home folder for {user}: {whose}") from error


def _parsed(content: str | bytes, folder: Path, source: str) -> Kubeconfig:
    """One document; paths in it count from `folder`. An empty document is an empty kubeconfig."""
    try:
        document = yaml.load(content, Loader=_LOADER)  # noqa: S506 (a safe loader)
        document = {} if document is None else document
        entries = {
            kind: _entries(document.get(kind) or (), key=key, folder=folder, source=source)
            for kind, key in _KINDS.items()
        }
        return Kubeconfig(document.get("current-context"), **entries)
    except KeyError as error:
        raise KubeconfigError(f"{source} is no kubeconfig: an entry of it has no {error}") from error
    except (yaml.YAMLError, AttributeError, TypeError, ValueError) as error:
        raise KubeconfigError(f"{source} is no kubeconfig: {' '.join(str(error).split())}") from error


def _entries(items: Any, *, key: str, folder: Path, source: str) -> dict[str, Entry]:
    """The clusters, contexts or users of a document by their names; of two with one name, the first."""
    entries: dict[str, Entry] = {}
    for item in items:
        name, values = item["name"], dict(item.get(key) or {})
        if not isinstance(name, str):
            raise TypeError(f"the name {name!r} of an entry is no text")
        for file_key in FILE_KEYS:
            path = values.pop(file_key, None)
            if path and not values.get(f"{file_key}-data"):  # the data wins, as for client-go
                values[file_key] = str(folder / expanded(path))
        entries.setdefault(name, Entry(values, source))
    return entries
