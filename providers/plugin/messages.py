"""The messages and services between the Pulumi engine and a plugin, as the SDK has them generated. Called by `serve`.

Without the rest of the SDK: `import pulumi` runs all of it, which takes longer than everything else that a plugin does
when it starts, and the engine waits for it in every command.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec, module_from_spec

__all__ = ["engine_pb2", "engine_pb2_grpc", "plugin_pb2", "provider_pb2", "provider_pb2_grpc", "status_pb2"]


@contextmanager
def _not_run(*packages: str) -> Iterator[None]:
    """Modules inside these packages can be imported without running the packages' own code. Parents come first.

    A package that was imported before is left as it is, and each can be imported as usual afterwards.
    """
    absent = [name for name in packages if name not in sys.modules]
    for name in absent:
        spec = find_spec(name)
        if spec is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        sys.modules[name] = module_from_spec(spec)
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]


with _not_run("pulumi", "pulumi.runtime"):
    from pulumi.runtime.proto import (
        engine_pb2,
        engine_pb2_grpc,
        plugin_pb2,
        provider_pb2,
        provider_pb2_grpc,
        status_pb2,
    )
