"""An open-loop load generator for servers in the style of OpenAI. EDGE.

Called by `cli.bench`. Requests are due at random moments of a given rate (Poisson arrivals) whatever becomes of those
before: a server that gets slow gets no fewer of them, as with real users. The run is bounded by its time, by the number
of requests under way, and by a limit for each. What it has seen, `meshctl.measure.load` makes results of. No
certificate is verified, as by health checks: prompts are random words.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import httpx2

from meshctl.errors import UnreachableError
from meshctl.measure.load import Answer

MOST_UNDER_WAY: Final = 256
_CONNECT_S: Final = 10.0
_WORDS: Final = ["time", "people", "way", "day", "thing", "woman", "life", "child", "world", "school", "state", "group"]
_NOT_SENT: Final = f"not sent, as {MOST_UNDER_WAY} were under way: the server is slower than the rate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`rate`: requests per second; `limit_s`: for one request; `seed`: for arrivals and prompts."""

    rate: float
    duration_s: float
    input_tokens: int
    output_tokens: int
    limit_s: float = 120.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Server:
    """`url`: with the address that stands for `host` at the moment."""

    url: str
    host: str


def model_of(server: Server) -> str:
    """The first model that the server serves. Raises: UnreachableError if it does not answer that question.

    Neither this nor `run` verifies certificates: only random words are sent, and no credentials; and a server may be
    measured before names point at it or its certificate is issued.
    """
    try:
        with httpx2.Client(timeout=_CONNECT_S, trust_env=False, verify=False) as client:
            response = client.get(f"{server.url}/v1/models", headers=headers(server), extensions=extensions(server))
        return str(response.raise_for_status().json()["data"][0]["id"])
    except (httpx2.HTTPError, ValueError, KeyError, IndexError, TypeError) as error:
        raise UnreachableError(
            f"{server.host} does not say which model it serves",
            why=f"GET {server.url}/v1/models: {str(error) or type(error).__name__}",
            hint="`meshctl status` shows whether its pods are ready; only servers in the style of OpenAI are measured",
        ) from error


def run(server: Server, model: str, plan: Plan) -> tuple[list[Answer], float]:
    """What became of each request, and the seconds from the first due moment to the last answer."""
    return asyncio.run(_run(server, model, plan))


def arrivals(plan: Plan) -> Iterator[float]:
    """Seconds after the start at which requests are due."""
    chance = random.Random(plan.seed)  # noqa: S311 (no secret)
    moment = 0.0
    while moment < plan.duration_s:
        yield moment
        moment += chance.expovariate(plan.rate)


async def _run(server: Server, model: str, plan: Plan) -> tuple[list[Answer], float]:
    limits = httpx2.Limits(max_connections=MOST_UNDER_WAY, max_keepalive_connections=MOST_UNDER_WAY)
    timeout = httpx2.Timeout(plan.limit_s, connect=_CONNECT_S)
    async with httpx2.AsyncClient(timeout=timeout, limits=limits, trust_env=False, verify=False) as client:
        start = time.monotonic()
        tasks: list[asyncio.Task[Answer]] = []
        not_sent: list[Answer] = []
        for number, due_s in enumerate(arrivals(plan)):
            await asyncio.sleep(max(start + due_s - time.monotonic(), 0))
            if sum(not task.done() for task in tasks) >= MOST_UNDER_WAY:
                not_sent.append(Answer(failure=_NOT_SENT))
                continue
            request = _request(model, plan, number)
            tasks.append(asyncio.create_task(_answer(client, server, request, start + due_s, plan.limit_s)))
        answers = await asyncio.gather(*tasks)
    return [*answers, *not_sent], time.monotonic() - start


def _request(model: str, plan: Plan, number: int) -> dict[str, Any]:
    """A prompt of its own for each request, about a token for each word, so that no cache of prefixes answers it."""
    chance = random.Random(f"{plan.seed}/{number}")  # noqa: S311 (no secret)
    prompt = " ".join(chance.choice(_WORDS) for _ in range(plan.input_tokens))
    return {
        "model": model,
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": plan.output_tokens,
        "ignore_eos": True,  # of vLLM and SGLang: answers of one length can be compared; others leave it out of account
        "stream": True,
        "stream_options": {"include_usage": True},
    }


async def _answer(
    client: httpx2.AsyncClient, server: Server, request: dict[str, Any], due: float, limit_s: float
) -> Answer:
    """Nothing that comes back is an error of ours."""
    try:
        async with asyncio.timeout(limit_s):
            return await _stream(client, server, request, due)
    except TimeoutError:
        return Answer(failure=f"no whole answer in {limit_s:.0f} s")
    except httpx2.HTTPError as error:
        return Answer(failure=_failure(error))


def _failure(error: httpx2.HTTPError) -> str:
    if isinstance(error, httpx2.HTTPStatusError):
        return f"status {error.response.status_code}"
    return "no whole answer: the connection was refused, cut or timed out"


async def _stream(client: httpx2.AsyncClient, server: Server, request: dict[str, Any], due: float) -> Answer:
    first_s: float | None = None
    parts, usage, is_ended = 0, 0, False
    url = f"{server.url}/v1/chat/completions"
    async with client.stream(
        "POST", url, json=request, headers=headers(server), extensions=extensions(server)
    ) as response:
        response.raise_for_status()
        async for line in response.aiter_lines():
            event = line.removeprefix("data:").strip() if line.startswith("data:") else ""
            if event == "[DONE]":
                is_ended = True
            elif event:
                has_text, counted = _part(event)
                usage = counted or usage
                parts += has_text
                first_s = time.monotonic() - due if has_text and first_s is None else first_s
    end_s = time.monotonic() - due
    if not is_ended:
        return Answer(failure="the answer was cut off before its end")
    return Answer(first_token_s=first_s, end_s=end_s, tokens=usage or parts)


def _part(event: str) -> tuple[bool, int]:
    """Whether an event has text, and the number of tokens, where it is the one that counts them all."""
    try:
        content = json.loads(event)
        choices = content.get("choices") or [{}]
        delta = choices[0].get("delta") or {}
        usage = content.get("usage") or {}
        has_text = bool(delta.get("content") or delta.get("reasoning_content"))
        return has_text, int(usage.get("completion_tokens") or 0)
    except (ValueError, AttributeError, TypeError, IndexError):
        return False, 0


def headers(server: Server) -> dict[str, str]:
    return {"Host": server.host}


def extensions(server: Server) -> dict[str, str]:
    return {"sni_hostname": server.host.partition(":")[0]}
