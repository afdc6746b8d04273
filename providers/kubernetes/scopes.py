"""Whether objects of a kind live in namespaces. Called by `provider`. EDGE (it may ask the cluster)."""

from __future__ import annotations

from providers.kubernetes import checking, objects
from providers.kubernetes.objects import Gvk, Json
from providers.kubernetes.session import Opening
from providers.kubernetes.waits import readiness
from providers.plugin.values import Properties


class Scopes:
    """The kinds of one cluster, those included that a program of this run defines."""

    def __init__(self) -> None:
        self._declared: dict[tuple[str, str], bool] = {}

    def remember(self, definition: Json) -> None:
        """`definition`: a CustomResourceDefinition."""
        spec = readiness.part(definition, "spec")
        kind = readiness.part(spec, "names").get("kind")
        self._declared[str(spec.get("group")), str(kind)] = spec.get("scope") != "Cluster"

    def is_namespaced(self, gvk: Gvk, olds: Properties, cluster: Opening) -> bool:
        """Known kinds and definitions of this program first; then the object itself, if there is one; then the server.

        Raises:
            ProviderError: the server can't be asked. A guess would be stored, and a wrong one replaces what lives.
        """
        is_namespaced = checking.built_in_scope(gvk.group, gvk.kind)
        if is_namespaced is None:
            is_namespaced = self._declared.get((gvk.group, gvk.kind))
        if is_namespaced is None and objects.name_of(olds):
            is_namespaced = bool(objects.namespace_of(olds))
        return _scope_at_server(gvk, cluster) if is_namespaced is None else is_namespaced


def _scope_at_server(gvk: Gvk, cluster: Opening) -> bool:
    """A kind that isn't there yet, or whose cluster isn't, counts as namespaced."""
    if cluster.is_unknown:
        return True
    from providers.kubernetes.api import NoMatchError

    try:
        return cluster.session().api.resource(gvk).namespaced
    except NoMatchError:
        return True
