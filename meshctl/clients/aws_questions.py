"""Asks AWS what a preflight wants to know: calls that only read, in parallel, within a limit of time. EDGE.

Called by `meshctl.deploy.guards.preflight` with the questions of a platform.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from queue import Empty, SimpleQueue
from typing import Any, Final

import botocore.exceptions
from botocore.config import Config

from meshctl.clients import aws_errors
from meshctl.clients.aws_errors import AwsRequest
from meshctl.clients.aws_session import aws_session
from meshctl.errors import CredentialsError
from meshctl.model.questions import NO_ANSWER, ApiAnswer, ApiQuestion

_AT_ONCE: Final = 8
# A preflight must not hold up a plan: what does not answer soon is not known, and the plan says so.
_TIMEOUT_S: Final = 20
_CONFIG: Final = Config(connect_timeout=5, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 3})
_UNANSWERED: Final = (botocore.exceptions.HTTPClientError, botocore.exceptions.ConnectionError)

_Question = tuple[ApiQuestion, Any]  # with the client that asks it


def ask(
    questions: Iterable[ApiQuestion], *, profile: str, region: str, timeout_s: float = _TIMEOUT_S
) -> dict[str, ApiAnswer]:
    """The answers by the questions' names. A refusal is an answer, too, and so is none within the limit of time.

    Raises: CredentialsError where there are no credentials or AWS accepts them nowhere, UnreachableError where AWS
    answers nothing.
    """
    all_questions = tuple(questions)
    if not all_questions:
        return {}
    request = AwsRequest("AWS", profile, "`aws sts get-caller-identity` must work", failure=CredentialsError)
    with aws_errors.translate_errors(request):
        session = aws_session(profile, region)
        # made one after the other: a session is not for several threads, its clients are
        places = {(each.service, each.region) for each in all_questions}
        clients: dict[tuple[str, str], Any] = {
            (service, place): session.create_client(service, region_name=place or None, config=_CONFIG)
            for service, place in sorted(places)
        }
        asking = [(each, clients[each.service, each.region]) for each in all_questions]
        answers, errors = _answers(asking, timeout_s)
        if errors and len(errors) == len(answers):
            raise next(iter(errors.values()))
        return answers


def _answers(asking: list[_Question], timeout_s: float) -> tuple[dict[str, ApiAnswer], dict[str, Exception]]:
    """All answers, and the errors of those questions that could as well be a fault of the keys or the network."""
    waiting: SimpleQueue[_Question] = SimpleQueue()
    answered: SimpleQueue[tuple[str, ApiAnswer, Exception | None]] = SimpleQueue()
    for each in asking:
        waiting.put(each)
    for _ in range(min(_AT_ONCE, len(asking))):  # daemons: a call that hangs does not hold up the end of the program
        threading.Thread(target=_work, args=(waiting, answered), daemon=True).start()
    answers = {question.name: ApiAnswer(code=NO_ANSWER) for question, _ in asking}
    errors: dict[str, Exception] = {}
    deadline = time.monotonic() + timeout_s
    for _ in asking:
        try:
            name, answer, error = answered.get(timeout=max(deadline - time.monotonic(), 0))
        except Empty:
            break
        answers[name] = answer
        if error is not None:
            errors[name] = error
    return answers, errors


def _work(waiting: SimpleQueue[_Question], answered: SimpleQueue[tuple[str, ApiAnswer, Exception | None]]) -> None:
    while True:
        try:
            question, client = waiting.get_nowait()
        except Empty:
            return
        try:
            answered.put((question.name, _answer(client, question), None))
        except _UNANSWERED as error:
            answered.put((question.name, ApiAnswer(code=NO_ANSWER, message=str(error)), error))
        except botocore.exceptions.ClientError as error:  # of the keys, which a region that is not enabled says, too
            code = error.response["Error"]["Code"]
            answered.put((question.name, ApiAnswer(code=code, message=str(error)), error))
        except Exception as error:
            answered.put((question.name, ApiAnswer(code=type(error).__name__, message=str(error)), error))


def _answer(client: Any, question: ApiQuestion) -> ApiAnswer:
    asked_at_s = time.time()
    try:
        if client.can_paginate(question.operation):
            paginator = client.get_paginator(question.operation)
            content = paginator.paginate(**question.arguments).build_full_result()
        else:
            content = getattr(client, question.operation)(**question.arguments)
    except botocore.exceptions.ClientError as error:
        code = error.response["Error"]["Code"]
        if code in aws_errors.KEYS_REFUSED:
            raise
        content = {key: value for key, value in error.response.items() if key == "ResponseMetadata"}
        return ApiAnswer(content, code=code, message=str(error), asked_at_s=asked_at_s)
    return ApiAnswer(content, asked_at_s=asked_at_s)
