"""Where a workload is reached that is to be measured: through its endpoint, as its users do. PURE. Called by
`cli.bench`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from meshctl.bench.load import Server
from meshctl.clients.endpoints import endpoint_questions
from meshctl.errors import UsageError
from meshctl.model.deployment import Deployment, Endpoint, Workload
from meshctl.model.files.file_problems import suggestion

_INDEX: Final = "RAG_STORE"  # the variable that tells the API of a blueprint `rag` where its index is
_MODEL: Final = "RAG_LLM_URL"  # and where its language model is; "" = it only searches


def endpoint_of(deployment: Deployment, workload: str) -> Endpoint:
    """The endpoint of a model server; `workload` "": of the only one. Raises: UsageError."""
    serving = [each for each in deployment.endpoints if deployment.workload(each.workload).kind == "inference"]
    names = list(dict.fromkeys(each.workload for each in serving))
    if workload and workload not in names:
        raise UsageError(
            f"no inference workload {workload} with an endpoint{suggestion(workload, names)}",
            hint=_new_endpoint(deployment, workload)
            or f"these can be measured: {', '.join(names) or 'none'}; load is sent through an endpoint, as users do",
        )
    if not workload and len(names) != 1:
        raise UsageError(
            f"{'no' if not names else 'more than one'} inference workload with an endpoint is up",
            hint=_one_of(names) if names else _new_endpoint(deployment, ""),
        )
    return next(each for each in serving if each.workload == (workload or names[0]))


def _one_of(names: Sequence[str]) -> str:
    return f"name one of them, as in --workload {names[0]}: {', '.join(names)}"


def _new_endpoint(deployment: Deployment, workload: str) -> str:
    """What makes this model server reachable, or any; "" where the mesh has no such server with a port."""
    servers = [each for each in deployment.workloads if each.kind == "inference" and each.ports]
    server = next((each for each in servers if workload in ("", each.name)), None)
    if server is None:
        return ""
    line = f"{{workload: {server.name}, port: {next(iter(server.ports))}, host: {server.name}.example.com}}"
    return f"write endpoints: {{{server.name}: {line}}} with a name of yours, and run `meshctl up`"


def documents_endpoint_of(deployment: Deployment, workload: str) -> Endpoint:
    """The endpoint of an API that answers from documents: it is told of their index; `workload` "": of the only one.
    Raises: UsageError."""
    answering = [each for each in deployment.endpoints if _INDEX in deployment.workload(each.workload).env]
    names = list(dict.fromkeys(each.workload for each in answering))
    if workload not in names and (workload or len(names) != 1):
        raise UsageError(
            f"{'no' if workload or not names else 'more than one'} API with an endpoint that answers from documents"
            f"{suggestion(workload, names) if workload else ''}",
            hint=_one_of(names)
            if names
            else "mesh.yaml needs a blueprint `rag` with an endpoint: add it, and run `meshctl up`",
        )
    return next(each for each in answering if each.workload == (workload or names[0]))


def has_answers(workload: Workload) -> bool:
    """Whether an API that finds documents also answers from them: a blueprint with `llm: off` does not."""
    return bool(workload.env.get(_MODEL))


def documents_setting(workload: Workload) -> dict[str, str]:
    """What the answers of such an API depend on: {"store": "milvus", "embeddings": MODEL, "model": MODEL,
    "re-ranked": "yes" | "no"}."""
    env = workload.env
    values = {
        "store": env.get(_INDEX, "").partition(":")[0],
        "embeddings": env.get("RAG_EMBED_MODEL", ""),
        "model": env.get("RAG_LLM_MODEL", ""),
        "re-ranked": "yes" if env.get("RAG_RERANK_URL") else "no",
    }
    return {name: value for name, value in values.items() if value}


def server(deployment: Deployment, endpoint: Endpoint, addresses: Mapping[str, str]) -> Server:
    """`addresses`: by endpoint, IP addresses. Raises: UsageError where it has none yet."""
    address = addresses.get(endpoint.name)
    if not address:
        raise UsageError(
            f"endpoint {endpoint.name} has no address", hint=f"`meshctl status {deployment.environment}` shows why"
        )
    protocol = next(endpoint_questions.questions(deployment, endpoint)).protocol
    scheme = "https" if protocol == "https" else "http"
    port = deployment.listening_port(endpoint)
    return Server(f"{scheme}://{address}:{port}", f"{endpoint.host}:{port}")
