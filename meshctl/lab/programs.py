"""Which real programs the lab has on this machine, beside those that it always runs. EDGE: looks at what is installed.

Called by `meshctl lab status`. The extras `lab-programs`, and `rag` with `lab-rag`, bring them all.
"""

from __future__ import annotations

from meshctl.lab import images
from meshctl.lab.images import redis_server
from meshctl.lab.images.inference import language_model

EXTRA = "the extra `lab-programs`"
_RETRIEVAL = {
    "ghcr.io/huggingface/text-embeddings-inference:1": "MiniLM on ONNX Runtime",
    "milvusdb/milvus:1": "milvus-lite",
    "pgvector/pgvector:1": "PostgreSQL with pgvector",
    "ghcr.io/meshctl/rag:1": "meshrag",
}


def played() -> dict[str, str]:
    """What plays inference servers, Redis and retrieval in this lab."""
    model = language_model.own_weights()
    real = f"{model.stem} on llama.cpp, where the model is a GGUF file or has a hub's name" if model else ""
    small = f"a small server that answers with the hash of its weights; {EXTRA} has a real model"
    redis = redis_server.find()
    retrieval = [program for image, program in _RETRIEVAL.items() if images.runnable(image)]
    return {
        "language models": real if language_model.is_installed() else small,
        "redis": redis or f"simulated, as images that the lab doesn't know; {EXTRA} has a real server",
        "retrieval": ", ".join(retrieval) or "simulated; the extras `rag` and `lab-rag` have real programs",
    }
