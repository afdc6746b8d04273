"""How a Kubernetes cluster is reached: a client for what the kubeconfig chooses, its errors as ours. EDGE.

Used by `clusters` and `cluster_identity`. The kubernetes provider reads the kubeconfig by itself, through the same
`meshwire.kubeconfig`: both choose the same cluster.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from meshctl.clients import certificates
from meshctl.errors import BusyError, CredentialsError, MeshError, UnreachableError
from meshwire import kubeconfig
from meshwire.kubeconfig import KubeconfigError
from meshwire.kubeconfig_files import check_files
from meshwire.kubernetes.errors import ApiError, CredentialError, NoAnswerError

if TYPE_CHECKING:
    from meshwire.kubernetes.client import Client

_DOWN = (502, 503, 504)  # what a balancer says when no API server is behind it
# an EKS cluster says no more than 401 to a principal that has no access entry in it
_UNAUTHORIZED = (
    "renew the credentials; if they are valid, the cluster gives their user no access: for an EKS cluster made by"
    " meshctl, ask somebody with access to add the principal to `kubernetes.admins` and to run `up`"
)
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

    def client(self) -> Client:
        """To be closed by the caller. It asks once and tries nothing again: who waits for a cluster does that.

        Raises: CredentialsError when there is no such kubeconfig or context, or it can't be used.
        """
        from meshwire.kubernetes.client import Client  # its HTTP library takes time to import
        from meshwire.kubernetes.target import target

        with translate_errors(self.name):
            choice = kubeconfig.choose(self.kubeconfig, context=self.context)
            chosen = target(choice)
            check_files(choice)
            return Client(chosen)

    @contextmanager
    def connected(self) -> Iterator[Client]:
        """A client that is closed after the block, and whose errors are ours. Raises: as `translate_errors`."""
        with self.client() as client, translate_errors(self.name, self):
            yield client


@contextmanager
def translate_errors(cluster: str, access: ClusterAccess | None = None) -> Iterator[None]:
    """The client's errors as ours. `access`: where it is asked who was refused.

    Raises: CredentialsError, UnreachableError, BusyError, MeshError.
    """
    try:
        yield
    except NoAnswerError as error:
        certificates.refuse(f"the Kubernetes API server of {cluster}", error)
        raise _unreachable(cluster, error) from error
    except (KubeconfigError, CredentialError) as error:
        raise CredentialsError(
            f"{cluster}: the kubeconfig can't be used",
            why=str(error),
            hint="check `kubernetes:` of the environment, or $KUBECONFIG, and the credential program that it names",
        ) from error
    except ApiError as error:
        shut_out = _shut_out(access, error) if access is not None and error.status == 401 else None
        refused = shut_out or _refused(cluster, error)
        if access is not None and error.status == 403 and _makes_tokens(access):
            refused.hint += (
                "; if an earlier `up` had granted this right to whoever made the cluster,"
                f" `meshctl up {access.name}` restores it"
            )
        raise refused from error


def _shut_out(access: ClusterAccess, error: ApiError) -> CredentialsError | None:
    """The error where the credentials are good and the cluster knows nothing of their principal."""
    from meshctl.clients.aws.token_caller import token_caller  # with botocore: only for an error

    caller = token_caller(access.kubeconfig, access.context)
    if caller is None:
        return None
    return CredentialsError(
        f"{access.name}: no access entry for {caller.arn} in the cluster {caller.cluster}",
        why=f"the credentials are valid, and the API server refused: {error}",
        hint=f"ask somebody with access to add {caller.arn} (for a role with a path: its full ARN) to"
        f" `kubernetes.admins` of {access.name} and to run `meshctl up {access.name}`. If `up` had made an entry for it"
        f" and somebody deleted that, `meshctl up {access.name}` makes it again",
    )


def _makes_tokens(access: ClusterAccess) -> bool:
    """Whether the credentials are tokens of `meshctl eks-token`, as in clusters that meshctl makes."""
    from meshctl.clients.aws.token_caller import makes_tokens

    return makes_tokens(access.kubeconfig, access.context)


def _refused(cluster: str, error: ApiError) -> MeshError:
    if error.status in (401, 403):
        hint = _UNAUTHORIZED if error.status == 401 else "the user lacks the right that the message names"
        return CredentialsError(f"{cluster}: the API server refused", why=str(error), hint=hint)
    if error.status in _BUSY:
        return BusyError(
            f"{cluster}: the Kubernetes API server has too much to do",
            why=f"[{error.status}] {error}",
            hint="run the command again a little later",
        )
    if error.status in _DOWN:
        return _unreachable(cluster, error)
    return MeshError(f"{cluster}: {error}", hint="`meshctl status` shows the cluster as it is")


def _unreachable(cluster: str, error: Exception) -> UnreachableError:
    return UnreachableError(
        f"{cluster}: the Kubernetes API server does not answer",
        why=str(error) or type(error).__name__,
        hint="check the cluster's address and the network; in the lab: `meshctl lab status`",
    )
