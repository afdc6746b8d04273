"""The mesh of examples/rag in the lab: real models and real stores as pods, another store by one line, and a migration
while questions are asked. `nox -s rag` installs what it needs; elsewhere it is skipped.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from meshctl.dns.lookup import address_of
from meshctl.lab.load import Load
from tests.lab_fixture import RunningLab
from tests.rag_stack import EXAMPLE, Api, citations, needs_rag, questions
from tests.waiting import wait_until

pytestmark = [pytest.mark.lab, pytest.mark.exhaustive, needs_rag]

PROFILES = {"aws-east": "default", "dc1": "dc1"}
UP_S = 900
DOCUMENTS = sum(path.is_file() for path in (EXAMPLE / "documents").rglob("*"))
QUESTION = {"messages": [{"role": "user", "content": questions()[0].ask}], "max_tokens": 8, "temperature": 0}


@pytest.fixture
def example(lab: RunningLab, tmp_path: Path) -> Iterator[RunningLab]:
    for file in ("mesh.yaml", "environments.yaml"):
        shutil.copy(EXAMPLE / file, tmp_path)
    here = lab.at(tmp_path)
    yield here
    here.meshctl("migrations", "finish", "--yes", check=False)  # while it is open, `destroy` is refused
    for environment in ("aws-east", "cw", "dc1"):
        here.meshctl("destroy", environment, "--allow-data-loss", "--confirm", environment, check=False)


def up(here: RunningLab, environment: str) -> None:
    """With the documents of the example in their bucket."""
    here.meshctl("up", environment, "--yes", "--object-storage-only")
    s3 = here.boto3("s3", PROFILES[environment])
    (bucket,) = [each["Name"] for each in s3.list_buckets()["Buckets"] if "rag" in each["Name"]]
    documents = EXAMPLE / "documents"
    for path in sorted(documents.rglob("*")):
        if path.is_file():
            s3.upload_file(str(path), bucket, path.relative_to(documents).as_posix())
    here.meshctl("up", environment, "--yes", timeout_s=UP_S)


def api(here: RunningLab, environment: str) -> Api:
    """At the address that the endpoint's name has."""
    (endpoint,) = here.json("status", environment)["environments"][environment]["endpoints"]
    with pytest.MonkeyPatch.context() as patch:  # AWS balancers have names, which the lab's server resolves
        patch.setenv("MESHCTL_DNS_SERVER", here.env["MESHCTL_DNS_SERVER"])
        return Api(address_of(endpoint["name_address"]), 8080)


def all_citations(here: RunningLab, environment: str) -> list[list[tuple[str, str]]]:
    asked = api(here, environment)
    wait_until(lambda: asked.answers("/health"))
    return [citations(asked, question) for question in questions()]


def hit_rate(here: RunningLab, environment: str) -> float:
    """As `meshctl bench` measures it, by the questions of the example."""
    file = str(EXAMPLE / "questions.yaml")
    results = here.json("bench", environment, "--what", "rag", "--questions", file, "--yes")["results"]
    rates = {row["result"]["metric"]: row["result"] for row in results}
    assert rates["hit rate"]["warnings"] == []
    assert rates["right document first"]["value"] == rates["answers that cite the document"]["value"] == 100.0
    return float(rates["hit rate"]["value"])


def test_another_store_by_one_line(example: RunningLab) -> None:
    up(example, "dc1")
    of_milvus = all_citations(example, "dc1")
    mesh = example.folder / "mesh.yaml"
    mesh.write_text(mesh.read_text().replace("store: milvus ", "store: pgvector "))
    example.meshctl("up", "dc1", "--yes", "--allow-data-loss", "--confirm", "dc1", timeout_s=UP_S)
    assert all_citations(example, "dc1") == of_milvus


def environment_and_citations(response: httpx2.Response) -> str:
    """Raises: ValueError for an answer without them."""
    answer = response.json()
    if not answer.get("citations") or not answer["choices"][0]["message"]["content"].strip():
        raise ValueError(f"no answer with citations: {answer}")
    return counted(answer["environment"], [(each["key"], each["chunk"]) for each in answer["citations"]])


def counted(environment: str, cited: list[tuple[str, str]]) -> str:
    return json.dumps([environment, cited])


def test_a_migration_while_questions_are_asked(example: RunningLab) -> None:
    """Each of them is answered, before, during and after the cutover, from the same passages."""
    up(example, "aws-east")
    before = all_citations(example, "aws-east")
    assert hit_rate(example, "aws-east") == 100.0
    (index,) = example.json("migrate", "aws-east", "cw", "--dry-run")["indexes"]
    assert (index["workload"], index["documents"], index["objects"]) == ("docs-ingest", "documents", DOCUMENTS)
    assert index["minutes"] is not None
    url = "http://docs.example.com:8080/v1/chat/completions"
    server = example.env["MESHCTL_DNS_SERVER"]
    load = Load(url, rate=0.5, dns_server=server, body=QUESTION, counted_as=environment_and_citations).start()
    try:
        example.meshctl("migrate", "aws-east", "cw", "--yes", "--observe", "5", timeout_s=1500)
    finally:
        result = load.stop()
    assert result.failures == []
    assert set(result.by_environment) == {counted(environment, before[0]) for environment in ("aws-east", "cw")}
    assert all_citations(example, "cw") == before
    example.meshctl("migrations", "finish", "--yes")  # nothing is measured while a migration is open
    assert hit_rate(example, "cw") == 100.0
