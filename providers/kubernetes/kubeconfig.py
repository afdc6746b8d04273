"""The kubeconfig of the provider's configuration: which API server, how to trust it, who we are. EDGE.

Called by `config` (identity) and `session`. Which cluster and user it chooses says `meshwire.kubeconfig`, for meshctl
as for this provider.
"""

from __future__ import annotations

from meshwire import kubeconfig, kubeconfig_files
from meshwire.kubeconfig import KubeconfigError
from meshwire.kubernetes.target import Target, target
from providers.plugin.provider import ProviderError


def identity(given: str, *, context: str, cluster: str) -> tuple[str, str] | None:
    """(server, certificate authority) of the chosen cluster; None when it can't be told."""
    try:
        chosen = kubeconfig.choose(given, context=context, cluster=cluster).cluster.values
    except KubeconfigError:
        return None
    authority = chosen.get("certificate-authority-data") or chosen.get("certificate-authority") or ""
    return str(chosen.get("server")), str(authority)


def load(given: str, *, context: str, cluster: str) -> Target:
    """The chosen cluster, user and namespace.

    Raises:
        ProviderError: code `Kubeconfig`. No such file, context, cluster or user, or it can't be used.
    """
    try:
        choice = kubeconfig.choose(given, context=context, cluster=cluster)
        chosen = target(choice)
        kubeconfig_files.check_files(choice)
    except KubeconfigError as error:
        raise ProviderError("Kubeconfig", str(error)) from error
    return chosen
