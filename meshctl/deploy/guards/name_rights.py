"""Asks, before a workload is expanded, whether whoever writes the endpoints' names may share them. EDGE.

Called by `meshctl.migrate.engine_gateway`. Shared names need more rights than an `up`, and are written last: a missing
one would show only once the target is up.
"""

from __future__ import annotations

from typing import Final

from meshctl.clients.aws import aws_questions
from meshctl.errors import MeshError
from meshctl.model.environment import Environments
from meshctl.model.questions import Findings
from meshctl.platforms import registry

_REGION: Final = "us-east-1"  # where the APIs of Route 53 and IAM are


def ask(environments: Environments) -> Findings:
    """`caller_gaps`: rights that are missing. `notes`: which rights could not be checked."""
    dns = environments.dns
    parts = [each.preflight.name_rights for each in registry.platforms() if each.preflight is not None]
    rights = next((each for each in parts if each is not None and dns is not None and each.dns == dns.provider), None)
    if dns is None or rights is None:
        return Findings()
    try:
        answers = aws_questions.ask(rights.questions(dns.zone), profile=dns.profile or "", region=_REGION)
    except MeshError as error:
        return Findings(notes=(f"not checked: whether you may share names in {dns.zone} ({error.what})",))
    return rights.findings(_with_policy(environments), answers)


def _with_policy(environments: Environments) -> str:
    """An environment whose rights `doctor --iam-policy` prints; `ENV` where there is none."""
    for name, each in environments.environments.items():
        preflight = registry.platform(each.provider).preflight
        if preflight is not None and preflight.policy is not None:
            return name
    return "ENV"
