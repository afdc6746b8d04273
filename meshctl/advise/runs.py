"""A measured run of a model server: which model answered, how long its requests were, and how many replicas. PURE.

A rate counts for its own setting alone. Called by `inference`, which shows a run beside a prediction of the same, by
`comparison`, which asks what such a run is expected to give, and by `cli.bench`.
"""

from __future__ import annotations

import re
from typing import Final

from meshctl.advise import facts
from meshctl.advise.facts import Given, ModelFacts
from meshctl.catalog import models
from meshctl.catalog.models import Model
from meshctl.measure import serving
from meshctl.measure.results import Result
from meshctl.model.deployment import Workload

_TOLERATED: Final = 0.1  # load generators count the tokens of random words, and so not the very number they were told


def tokens(result: Result) -> tuple[int, int] | None:
    """Input and output of one request; their means, where the load generator has counted them."""
    setting = result.setting
    pair = setting.get("tokens") or f"{setting.get('input_tokens')}/{setting.get('output_tokens')}"
    match = re.fullmatch(r"([1-9]\d*)/([1-9]\d*)", pair)
    return (int(match[1]), int(match[2])) if match else None


def has_tokens(result: Result, wanted: tuple[int, int]) -> bool:
    """Whether its requests are about as long."""
    pairs = zip(tokens(result) or (0, 0), wanted, strict=True)
    return all(abs(measured - length) <= _TOLERATED * length for measured, length in pairs)


def model_facts(result: Result, workload: Workload) -> ModelFacts | str:
    """What is known of the model that answered; or why nothing is, in words."""
    name = result.setting.get("model", "")
    if not name:
        return "the run does not say which model answered"
    if models.by_name(name) is not None:
        return facts.of_workload(workload, Given(name, {}))
    if _is_its_name(workload, name):
        return facts.of_workload(workload, None)
    return f'nothing is known of a model "{name}"'


def is_of(result: Result, workload: Workload, model: Model) -> bool:
    """Whether this model answered: by its name, or by the name that the workload's own arguments have for it."""
    name = result.setting.get("model", "")
    answering = models.by_name(name)
    return answering.name == model.name if answering is not None else _is_its_name(workload, name)


def _is_its_name(workload: Workload, name: str) -> bool:
    return any(name == each for each, _ in facts.names(workload))


def kept_rate(result: Result) -> bool:
    """Whether the server kept up with the rate of an open loop, so that it may be able to do more. Runs of versions
    before 0.2 do not say it: by their own number of tokens."""
    recorded, rate = result.setting.get("kept_rate", ""), result.setting.get("rate", "")
    if recorded or result.metric != serving.OUTPUT or not re.fullmatch(r"\d+(\.\d+)?", rate):
        return recorded == "yes"
    _, output_tokens = tokens(result) or (0, 0)
    return bool(output_tokens) and result.value / output_tokens >= serving.KEPT * float(rate)


def count_text(least: int, most: int) -> str:
    """`2`, or `2 to 6` where load moves the number of replicas."""
    return f"{least}" if least == most else f"{least} to {most}"


def replicas(result: Result, workload: Workload) -> tuple[int, int]:
    """The least and the most that can have answered together: as the run says it, else as the workload has them now."""
    match = re.fullmatch(r"(\d+)(?: to (\d+))?", result.setting.get("replicas", ""))
    return (int(match[1]), int(match[2] or match[1])) if match else (workload.at_least, workload.at_most)


def load_words(result: Result) -> str:
    """Under which load it was measured, as far as the run says it: `4 requests/s, 512 tokens in, 128 out`."""
    rate, pair = result.setting.get("rate", ""), tokens(result)
    words = [f"{rate} requests/s"] if rate and rate != "inf" else []
    words += [f"{result.setting['questions']} questions"] if "questions" in result.setting else []
    return ", ".join([*words, *([f"{pair[0]} tokens in, {pair[1]} out"] if pair is not None else [])])


def other_image(result: Result, workload: Workload) -> str:
    """That another image has answered than the one of the workload now, in words; "" where the run doesn't say so."""
    image = result.versions.get("image", workload.image)
    return f"measured with image {image}, now {workload.image}: measure again" if image != workload.image else ""
