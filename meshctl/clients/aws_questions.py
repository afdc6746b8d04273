"""Asks AWS what a preflight wants to know: calls that only read, in parallel. EDGE.

Called by `meshctl.deploy.guards.preflight` with the questions of a platform.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import botocore.exceptions
from botocore.config import Config

from meshctl.clients import aws_errors
from meshctl.clients.aws_errors import AwsRequest
from meshctl.clients.aws_session import aws_session
from meshctl.errors import CredentialsError
from meshctl.model.questions import ApiAnswer, ApiQuestion

_AT_ONCE: Final = 8
# A preflight must not hold up a plan: what does not answer soon is not known, and the plan says so.
_CONFIG: Final = Config(connect_timeout=5, read_timeout=15, retries={"mode": "standard", "total_max_attempts": 3})


def ask(questions: Iterable[ApiQuestion], *, profile: str, region: str) -> dict[str, ApiAnswer]:
    """The answers by the questions' names. A refusal is an answer, too.

    Raises: CredentialsError where there are no credentials or AWS does not accept them, UnreachableError.
    """
    all_questions = tuple(questions)
    if not all_questions:
        return {}
    request = AwsRequest("AWS", profile, "`aws sts get-caller-identity` must work", failure=CredentialsError)
    with aws_errors.translate_errors(request):
        session = aws_session(profile, region)
        # made one after the other: a session is not for several threads, its clients are
        services = {each.service for each in all_questions}
        clients: dict[str, Any] = {name: session.create_client(name, config=_CONFIG) for name in sorted(services)}
        with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
            return dict(pool.map(lambda each: (each.name, _answer(clients[each.service], each)), all_questions))


def _answer(client: Any, question: ApiQuestion) -> ApiAnswer:
    try:
        if client.can_paginate(question.operation):
            paginator = client.get_paginator(question.operation)
            return ApiAnswer(paginator.paginate(**question.arguments).build_full_result())
        return ApiAnswer(getattr(client, question.operation)(**question.arguments))
    except botocore.exceptions.ClientError as error:
        code = error.response["Error"]["Code"]
        if code in aws_errors.KEYS_REFUSED:
            raise
        return ApiAnswer(code=code, message=str(error))
