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

from meshctl.clients.aws import aws_errors
from meshctl.clients.aws.aws_errors import AwsRequest
from meshctl.clients.aws.aws_session import aws_session
from meshctl.errors import CredentialsError
from meshctl.model.questions import NO_ANSWER, ApiAnswer, ApiQuestion

_AT_ONCE: Final = 8
# A preflight must not hold up a plan: what does not answer soon is not known, and the plan says so.
TIMEOUT_S = 20.0
_CONFIG: Final = Config(connect_timeout=5, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 3})
_UNANSWERED: Final = (botocore.exceptions.HTTPClientError, botocore.exceptions.ConnectionError)

_Question = tuple[ApiQuestion, Any]  # with the client that asks it


def ask(
    questions: Iterable[ApiQuestion], *, profile: str, region: str, timeout_s: float | None = None
) -> dict[str, ApiAnswer]:
    """The answers by the questions' names. A refusal is an answer, too, and so is none within the limit of time, which
    is TIMEOUT_S unless another one is given.

    Raises: CredentialsError where there are no credentials or AWS accepts them nowhere, UnreachableError where AWS
    answers nothing.
    """
    all_questions = tuple(questions)
    if not all_questions:
        return {}
    request = AwsRequest("AWS", profile, "`aws sts get-caller-identity` must work", failure=CredentialsError)
    with aws_errors.translate_errors(request):
        asking = _Asking(aws_session(profile, region), TIMEOUT_S if timeout_s is None else timeout_s)
        asking.ask(all_questions)
        if error := asking.error():
            raise error
        return asking.answers


class _Asking:
    """Questions that are being asked, and their answers so far. Used by one thread, which starts those that ask."""

    def __init__(self, session: Any, timeout_s: float) -> None:
        self.answers: dict[str, ApiAnswer] = {}
        self._session = session
        self._clients: dict[tuple[str, str], Any] = {}
        self._deadline = time.monotonic() + timeout_s
        self._waiting: SimpleQueue[_Question] = SimpleQueue()
        self._answered: SimpleQueue[tuple[ApiQuestion, ApiAnswer, Exception | None]] = SimpleQueue()
        # of questions that could as well be a fault of the keys or the network
        self._errors: dict[str, Exception] = {}

    def ask(self, questions: tuple[ApiQuestion, ...]) -> None:
        unanswered = self._start(questions)
        while unanswered:
            try:
                question, answer, error = self._answered.get(timeout=max(self._deadline - time.monotonic(), 0))
            except Empty:
                return
            unanswered -= 1
            self.answers[question.name] = answer
            if error is not None:
                self._errors[question.name] = error
            elif question.then is not None:
                unanswered += self._start(question.then(answer))

    def error(self) -> Exception | None:
        """Where AWS answered nothing at all: what it says of the keys, or else why."""
        answers = (answer for name, answer in self.answers.items() if name not in self._errors)
        if any(answer.code != NO_ANSWER for answer in answers):
            return None
        errors = sorted(self._errors.values(), key=lambda each: isinstance(each, _UNANSWERED))
        return next(iter(errors), None)

    def _start(self, questions: tuple[ApiQuestion, ...]) -> int:
        # made one after the other: a session is not for several threads, its clients are
        for place in sorted({(each.service, each.region) for each in questions} - self._clients.keys()):
            service, region = place
            self._clients[place] = self._session.create_client(service, region_name=region or None, config=_CONFIG)
        for question in questions:
            self.answers[question.name] = ApiAnswer(code=NO_ANSWER)
            self._waiting.put((question, self._clients[question.service, question.region]))
        for _ in range(min(_AT_ONCE, len(questions))):
            # daemons: a call that hangs does not hold up the end of the program
            threading.Thread(target=_work, args=(self._waiting, self._answered), daemon=True).start()
        return len(questions)


def _work(
    waiting: SimpleQueue[_Question], answered: SimpleQueue[tuple[ApiQuestion, ApiAnswer, Exception | None]]
) -> None:
    while True:
        try:
            question, client = waiting.get_nowait()
        except Empty:
            return
        try:
            answered.put((question, _answer(client, question), None))
        except _UNANSWERED as error:
            answered.put((question, ApiAnswer(code=NO_ANSWER, message=str(error)), error))
        except botocore.exceptions.ClientError as error:  # of the keys, which a region that is not enabled says, too
            code = error.response["Error"]["Code"]
            answered.put((question, ApiAnswer(code=code, message=str(error)), error))
        except Exception as error:
            answered.put((question, ApiAnswer(code=type(error).__name__, message=str(error)), error))


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
