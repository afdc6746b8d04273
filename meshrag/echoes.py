"""Whether an answer repeats what was sent: servers put what they refuse into their errors. PURE.

Used by `meshrag.model_servers`, whose messages reach logs and clients. What is sent are passages of documents.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

HIDDEN: Final = "(it repeats what it was sent, and is not shown)"
_ALIKE: Final = 24  # letters and digits in a row that both have
_ESCAPES: Final = re.compile(r"\\[nrt]|\\u[0-9a-fA-F]{4}")
_NOT_OF_WORDS: Final = re.compile(r"[\W_]+")


def repeats(answer: str, sent: Mapping[str, Any]) -> bool:
    """`sent`: a request, with texts at any depth. The name of a model is no text of a document."""
    shown = _letters(answer)
    texts = "".join(_letters(text) for text in _texts([value for key, value in sent.items() if key != "model"]))
    return any(shown[start : start + _ALIKE] in texts for start in range(len(shown) - _ALIKE + 1))


def _letters(text: str) -> str:
    """Without what JSON, quotes and line breaks may have changed."""
    return _NOT_OF_WORDS.sub("", _ESCAPES.sub(_unescaped, text))


def _unescaped(match: re.Match[str]) -> str:
    return str(json.loads(f'"{match[0]}"'))


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, Sequence):
        for inner in value:
            yield from _texts(inner)
