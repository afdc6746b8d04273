"""Which real programs the lab has on this machine, beside those that it always runs. EDGE: looks at what is installed.

Called by `meshctl lab status`. The extra `lab-programs` brings them all.
"""

from __future__ import annotations

from meshctl.lab.images import language_model, redis_server

EXTRA = "the extra `lab-programs`"


def played() -> dict[str, str]:
    """What plays inference servers and Redis in this lab."""
    model = language_model.own_weights()
    real = f"{model.stem} on llama.cpp, where the model is a GGUF file or has a hub's name" if model else ""
    small = f"a small server that answers with the hash of its weights; {EXTRA} has a real model"
    redis = redis_server.find()
    return {
        "language models": real if language_model.is_installed() else small,
        "redis": redis or f"simulated, as images that the lab doesn't know; {EXTRA} has a real server",
    }
