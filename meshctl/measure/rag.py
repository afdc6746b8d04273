"""How well an API answers questions from documents whose right answers somebody has written down. PURE.

Called by `meshctl.bench.rag`, which asks. The questions are a file of the user's, like `examples/rag/questions.yaml`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import yaml

from meshctl.errors import ForeignOutputError
from meshctl.measure.load import percentile
from meshctl.measure.results import Result, Taken

HIT: Final = "hit rate"
FIRST: Final = "right document first"
PASSAGE: Final = "right passage first"
CITED: Final = "answers that cite the document"
WORDED: Final = "answers with the expected words"
LATENCY: Final = "answer latency"
MOST_QUESTIONS: Final = 1000
_PERCENTILES: Final = {"p50": 50.0, "p90": 90.0, "p99": 99.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """`document`: the key that is to be cited. `chunk`: words of the passage that has the answer, `answer`: words that
    an answer is to have; "" = not said."""

    ask: str
    document: str
    chunk: str = ""
    answer: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """To one question. `passages`: what a search returns, best first, as (key, text); `cited`: the keys that an answer
    cites, None = no answer was asked for. `answer`: its text. `answer_s`: how long it took. `failure` "": both were
    whole."""

    passages: tuple[tuple[str, str], ...] = ()
    cited: tuple[str, ...] | None = ()
    answer: str = ""
    answer_s: float = 0.0
    failure: str = ""


def questions(text: str, where: str) -> tuple[Question, ...]:
    """Of a file {"questions": [{"ask", "document", "chunk", "answer"}]}.

    Raises: ForeignOutputError, which names the entry.
    """
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise _refused(where, f"it is no YAML: {error}") from error
    entries = document.get("questions") if isinstance(document, dict) else None
    if not isinstance(entries, list) or not 0 < len(entries) <= MOST_QUESTIONS:
        raise _refused(where, f"it has no list `questions` with 1 to {MOST_QUESTIONS} entries")
    return tuple(_question(entry, number, where) for number, entry in enumerate(entries, 1))


def _question(entry: Any, number: int, where: str) -> Question:
    fields = entry if isinstance(entry, dict) else {}
    texts = {key: value for key, value in fields.items() if isinstance(value, str) and value.strip()}
    unknown = sorted(set(map(str, fields)) - {"ask", "document", "chunk", "answer"})
    if unknown or texts.keys() != fields.keys() or not {"ask", "document"} <= texts.keys():
        raise _refused(
            where, f"question {number} has not the texts `ask` and `document`, and at most `chunk` and `answer` beside"
        )
    return Question(**texts)


def _refused(where: str, why: str) -> ForeignOutputError:
    return ForeignOutputError(
        f"{where} holds no questions with their documents",
        why=why,
        hint="write {questions: [{ask: …, document: KEY}]}, and beside them chunk: words of the passage, or answer:"
        " words of the answer; see examples/rag",
    )


def summarize(
    golden: Sequence[Question],
    replies: Sequence[Reply],
    *,
    setting: Mapping[str, str],
    versions: Mapping[str, str],
    taken: Taken,
) -> tuple[Result, ...]:
    """Shares in percent of all questions; what failed is a miss, and a warning. `replies`: in the order of `golden`."""
    pairs = list(zip(golden, replies, strict=True))
    failures = Counter(reply.failure for reply in replies if reply.failure)
    made: dict[str, Any] = {
        "what": "rag",
        "taken": taken,
        "setting": {**setting, "questions": str(len(golden))},
        "versions": versions,
        "warnings": tuple(f"{count} x {failure}" for failure, count in failures.most_common(3)),
    }
    shares = {
        HIT: [any(key == question.document for key, _ in reply.passages) for question, reply in pairs],
        FIRST: [reply.passages[:1] != () and reply.passages[0][0] == question.document for question, reply in pairs],
        PASSAGE: [_has_passage_first(question, reply) for question, reply in pairs if question.chunk],
        CITED: [question.document in reply.cited for question, reply in pairs if reply.cited is not None],
        WORDED: [
            _has_words(question.answer, reply.answer)
            for question, reply in pairs
            if question.answer and reply.cited is not None
        ],
    }
    rates = [
        Result(metric=name, value=round(100 * sum(hits) / len(hits), 2), unit="%", **made)
        for name, hits in shares.items()
        if hits
    ]
    times_ms = [reply.answer_s * 1e3 for reply in replies if not reply.failure and reply.cited is not None]
    return (*rates, *([_latency(times_ms, made)] if times_ms else []))


def _has_passage_first(question: Question, reply: Reply) -> bool:
    """Whether the first passage has the words as they are written."""
    return bool(reply.passages) and _joined(question.chunk) in _joined(reply.passages[0][1])


def _has_words(expected: str, answer: str) -> bool:
    """A model may begin a sentence with them."""
    return _joined(expected).casefold() in _joined(answer).casefold()


def _joined(text: str) -> str:
    """Line breaks are no part of what somebody has written down."""
    return " ".join(text.split())


def _latency(times_ms: list[float], made: Mapping[str, Any]) -> Result:
    table = {name: round(percentile(times_ms, percent), 1) for name, percent in _PERCENTILES.items()}
    mean = sum(times_ms) / len(times_ms)
    return Result(metric=LATENCY, value=round(mean, 1), unit="ms", percentiles=table, **made)
