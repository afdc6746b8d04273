"""How a Kubernetes cluster is reached: a client for what the kubeconfig chooses, its errors as ours. EDGE.

Used by `clusters` and `cluster_identity`. The kubernetes provider reads the kubeconfig by itself, through the same
`meshwire.kubeconfig`: both choose the same cluster.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx2
import lightkube
from lightkube.config.client_adapter import verify_cluster
from lightkube.config.kubeconfig import SingleConfig
from lightkube.core.exceptions import ConfigError

from meshctl.clients import certificates, exec_token, kube_types
from meshctl.errors import BusyError, CredentialsError, MeshError, UnreachableError
from meshwire import kubeconfig
from meshwire.kubeconfig import KubeconfigError
from meshwire.kubeconfig_files import check_files

CONNECT_TIMEOUT_S = 5
READ_TIMEOUT_S = 20
_DOWN = (502, 503, 504)  # what a balancer says when no API server is behind it
_BUSY = (408, 429, 500)  # what an API server says that has too much to do, or whose etcd has


@dataclass(frozen=True)
class ClusterAccess:
    """One cluster: `kubeconfig` is content (JSON or YAML), paths, or empty for the standard places.

    `name` is the environment's; `uid` says which cluster it must be, and is empty where that isn't known.
    """

    name: str
    kubeconfig: str = ""
    context: str = ""
    uid: str = ""

    @property
    def place(self) -> str:
        """What chooses the cluster, in words."""
        context = f'the context "{self.context}"' if self.context else "the current context"
        return f"{context} of {self.kubeconfig or kubeconfig.standard_place()}"

    def client(self) -> lightkube.Client:
        """Raises: CredentialsError when there is no such kubeconfig or context, or it can't be used."""
        with translate_errors(self.name):
            kube_types.describe()
            config = self._config()
            timeout = httpx2.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
            try:
                return lightkube.Client(config=config, timeout=timeout, trust_env=False, transport=_with_token(config))
            except (ValueError, TypeError, httpx2.InvalidURL) as error:  # a certificate or an address that is none
                raise ConfigError(str(error)) from error

    def _config(self) -> SingleConfig:
        choice = kubeconfig.choose(self.kubeconfig, context=self.context)
        config = choice.config()
        check_files(choice)
        return config


def _with_token(config: SingleConfig) -> httpx2.BaseTransport | None:
    """What lightkube sends its requests with where a credential program gives the token; it would run the program for
    each client anew. None leaves the choice to lightkube. The program is taken out of `config`."""
    user = config.user
    if user is None or user.exec is None or user.token or user.token_file:
        return None
    token = exec_token.shared(user.exec)
    user.exec = None
    verify = verify_cluster(config.cluster, user, config.abs_file, trust_env=False)
    return exec_token.WithToken(httpx2.HTTPTransport(verify=verify, trust_env=False), token)


@contextmanager
def translate_errors(cluster: str) -> Iterator[None]:
    """The client's errors as ours. Raises: CredentialsError, UnreachableError, BusyError, MeshError."""
    try:
        yield
    except (ConnectionError, TimeoutError) as error:
        raise _unreachable(cluster, error) from error
    # OSError: a certificate or a credential program that isn't there
    except (KubeconfigError, ConfigError, OSError) as error:
        raise CredentialsError(
            f"{cluster}: the kubeconfig can't be used",
            why=str(error),
            hint="check `kubernetes:` of the environment, or $KUBECONFIG, and the credential program that it names",
        ) from error
    except httpx2.HTTPError as error:
        status = error.response.status_code if isinstance(error, httpx2.HTTPStatusError) else 0
        if status in (401, 403):
            hint = "renew the credentials" if status == 401 else "the user lacks the right that the message names"
            raise CredentialsError(f"{cluster}: the API server refused", why=str(error), hint=hint) from error
        if status in _BUSY:
            raise BusyError(
                f"{cluster}: the Kubernetes API server has too much to do",
                why=f"[{status}] {error}",
                hint="run the command again a little later",
            ) from error
        if status and status not in _DOWN:
            raise MeshError(f"{cluster}: {error}", hint="`meshctl status` shows the cluster as it is") from error
        if not status:
            certificates.refuse(f"the Kubernetes API server of {cluster}", error)
        raise _unreachable(cluster, error) from error


def _unreachable(cluster: str, error: Exception) -> UnreachableError:
    return UnreachableError(
        f"{cluster}: the Kubernetes API server does not answer",
        why=str(error) or type(error).__name__,
        hint="check the cluster's address and the network; in the lab: `meshctl lab status`",
    )
