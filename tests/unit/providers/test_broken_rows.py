"""What failed for good is replaced: its successor is made first, and takes over nothing of it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from meshctl.lab.aws.fsx import Fsx
from meshctl.lab.aws.quotas import Quotas
from meshwire.marks import OWNER_TAG
from tests.unit.providers.test_one_way import FILE_SYSTEM, LUSTRE, Bench


class MakingFsx(Fsx):
    """Makes file systems in any subnet."""

    def create_file_system(self, call: Any, given: dict[str, Any]) -> dict[str, Any]:
        name = f"fs-{len(self.file_systems) + 1}"
        described = {**given, "FileSystemId": name, "ResourceARN": f"arn:us-east-1:{name}", "Lifecycle": "AVAILABLE"}
        self.file_systems[name] = described
        return {"FileSystem": described}


def test_a_file_system_that_failed_is_not_taken_over_by_the_one_that_replaces_it(tmp_path: Path) -> None:
    fsx = MakingFsx(Quotas(tmp_path))
    bench = Bench(fsx, FILE_SYSTEM, "fs-1", LUSTRE)

    def create() -> str:
        inputs = bench.checked(copy.deepcopy(LUSTRE), {})
        return bench.provider.create(FILE_SYSTEM, urn="urn:it", inputs=inputs, timeout_s=10, preview=False).id

    assert create() == "fs-1"
    assert {tag["Key"] for tag in fsx.file_systems["fs-1"]["Tags"]} == {OWNER_TAG}
    assert create() == "fs-1"  # the answer of an earlier run was lost
    fsx.file_systems["fs-1"]["Lifecycle"] = "FAILED"
    assert create() == "fs-2"
