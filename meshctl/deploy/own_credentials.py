"""Tokens of kubeconfigs that meshctl wrote, made in this process instead of by a run of `meshctl eks-token`. EDGE.

Called by `runs`. A run of the program loads Python and an SDK again, half a second of CPU time for each command.
"""

from __future__ import annotations

import json

from meshwire.kubernetes import exec_tokens
from meshwire.kubernetes.target import CredentialProgram

_PROGRAM = "meshctl"  # as `stacks.aws.cluster.kubeconfig_text` writes it


def make_in_process() -> None:
    """From now on, this process asks itself. Kubeconfigs of others, and other programs called so, are run as before."""
    exec_tokens.answer_in_process(_PROGRAM, _credential)


def _credential(program: CredentialProgram) -> str | None:
    """The ExecCredential that the program would print; None for arguments that are not those that meshctl writes.

    Raises: CredentialsError, UnreachableError.
    """
    words = program.arguments
    options = dict(zip(words[1::2], words[2::2], strict=False))
    if program.environment or words[:1] != ("eks-token",) or len(words) != 1 + 2 * len(options):
        return None
    if not {"--cluster-name", "--region"} <= options.keys() <= {"--cluster-name", "--region", "--profile"}:
        return None
    from meshctl import eks_token  # botocore: only where there is such a cluster

    token = eks_token.token(options["--cluster-name"], options["--region"], options.get("--profile", ""))
    return json.dumps({"status": {"token": token.text, "expirationTimestamp": token.expires}})
