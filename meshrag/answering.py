"""A question -> passages -> an answer, as a graph of steps. EDGE: asks the store and the model servers.

Called by `meshrag.api`. The graph is retrieve → rerank (where there is a re-ranker) → answer; a search is the same
without its last step.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any, Final, TypedDict

from langgraph.graph import END, START, StateGraph

from meshrag import passages
from meshrag.errors import IndexNotReadyError, SlotError, SlotTimeoutError
from meshrag.model_servers import Embedder, LanguageModel, Reranker
from meshrag.passages import Passage
from meshrag.settings import Settings
from meshrag.stores import Completion, Store, other_length

_RERANKED_FROM: Final = 5  # times as many passages as are wanted


class _State(TypedDict, total=False):
    question: str
    limit: int
    options: Mapping[str, Any]
    passages: list[Passage]
    completion: dict[str, Any]


class Answering:
    """Raises `SlotError` wherever another program does not do its part."""

    def __init__(self, config: Settings, store: Store) -> None:
        self._store = store
        self._embedder = Embedder(config.embed)
        self._reranker = Reranker(config.rerank) if config.rerank else None
        self._model = LanguageModel(config.llm) if config.llm else None
        self._limit = config.passages
        self._search = self._graph(with_answer=False)
        self._answer = self._graph(with_answer=True)

    def completion(self) -> Completion:
        """What the index has. Raises: IndexNotReadyError, SlotError."""
        completion = self._store.completion()
        if completion is None:
            raise IndexNotReadyError("store", "its index is not complete yet; ingestion is to end first")
        return completion

    def search(self, query: str, limit: int | None) -> list[Passage]:
        """Best first."""
        self.completion()
        state: _State = {"question": query, "limit": limit or self._limit}
        return list(self._search.invoke(state)["passages"])

    def answer(self, question: str, options: Mapping[str, Any]) -> tuple[dict[str, Any], list[Passage]]:
        """The completion of the language model, and the passages that it was shown."""
        self.completion()
        state: _State = {"question": question, "limit": self._limit, "options": options}
        end = self._answer.invoke(state)
        return dict(end["completion"]), list(end["passages"])

    def stream(self, question: str, options: Mapping[str, Any]) -> tuple[Iterator[dict[str, Any]], list[Passage]]:
        """The same with the completion in parts, of which the model has given the first one."""
        shown = self.search(question, None)
        parts = self._language_model().stream(passages.prompt(question, shown), options)
        return itertools.chain([next(parts)], parts), shown

    def _language_model(self) -> LanguageModel:
        if self._model is None:
            raise SlotError("llm", "RAG_LLM_URL is not set")
        return self._model

    def _graph(self, *, with_answer: bool) -> Any:
        graph = StateGraph(_State)
        steps = [("retrieve", self._retrieve)]
        if self._reranker is not None:
            steps.append(("rerank", self._rerank))
        if with_answer:
            steps.append(("answer", self._ask))
        before = START
        for name, step in steps:
            graph.add_node(name, step)
            graph.add_edge(before, name)
            before = name
        graph.add_edge(before, END)
        return graph.compile()

    def _retrieve(self, state: _State) -> _State:
        (vector,) = self._embedder.vectors([state["question"]])
        wanted = state["limit"] * (_RERANKED_FROM if self._reranker is not None else 1)
        try:
            return {"passages": passages.ordered(self._store.search(vector, wanted))}
        except SlotTimeoutError:
            raise
        except SlotError as error:
            raise other_length(self._store, len(vector)) or error from error

    def _rerank(self, state: _State) -> _State:
        texts = [each.chunk.text for each in state["passages"]]
        if self._reranker is None or not texts:
            return {}
        scores = self._reranker.scores(state["question"], texts)
        return {"passages": passages.reranked(state["passages"], scores)[: state["limit"]]}

    def _ask(self, state: _State) -> _State:
        messages = passages.prompt(state["question"], state["passages"])
        return {"completion": self._language_model().answer(messages, state["options"])}
