"""The guard rails of the lab's account refuse a role as an organisation's policy does."""

from __future__ import annotations

import pytest

from meshctl.lab.aws.errors import ApiError
from meshctl.lab.aws.iam.guard_rails import refuse

BOUNDARY = "arn:aws:iam::123456789012:policy/boundary"
RULES = {"permissionsBoundary": BOUNDARY, "requiredTags": ["cost-centre"]}
TAGGED = {"Tags.member.1.Key": "cost-centre", "Tags.member.1.Value": "4711"}


@pytest.mark.parametrize(
    "given", [TAGGED, {**TAGGED, "PermissionsBoundary": f"{BOUNDARY}-2"}, {"PermissionsBoundary": BOUNDARY}]
)
def test_c5_a_role_without_the_boundary_or_the_tags_is_refused(given: dict[str, str]) -> None:
    with pytest.raises(ApiError) as refused:
        refuse("CreateRole", {"RoleName": "nodes", **given}, RULES)
    assert refused.value.code == "AccessDenied"
    assert "iam:CreateRole on resource: arn:aws:iam::123456789012:role/nodes with an explicit deny" in str(
        refused.value
    )


def test_c5_a_role_that_follows_the_rules_is_made() -> None:
    refuse("CreateRole", {"RoleName": "nodes", "PermissionsBoundary": BOUNDARY, **TAGGED}, RULES)
    refuse("PutRolePermissionsBoundary", {"RoleName": "nodes", "PermissionsBoundary": BOUNDARY}, RULES)


def test_c5_nobody_takes_a_boundary_away() -> None:
    with pytest.raises(ApiError):
        refuse("DeleteRolePermissionsBoundary", {"RoleName": "nodes"}, RULES)
