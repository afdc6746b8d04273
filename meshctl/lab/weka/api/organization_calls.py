"""What the REST API does with organizations and their users. PURE, but for the systems that it changes.

Called by `server`. Only the cluster's administrator makes organizations and sets their quotas; within one, its own
administrator makes users, object stores and file systems, of which the cluster's sees none (docs.weka.io,
"Organizations management"). Fields: docs/OrganizationsBody.md, UidLimitsBody.md and UsersBody.md of
github.com/weka/RESTapi_client at 25799c1e.
"""

from __future__ import annotations

import re
from typing import Any, Final

from meshctl.lab.weka import credentials
from meshctl.lab.weka.api.rest_api import ADMINS, CLUSTER_ADMINS, EVERYBODY, Call, RefusedError, Route
from meshctl.lab.weka.api.system import Organization, new_uid

Object = dict[str, Any]
ROOT_UID: Final = "00000000-0000-0000-0000-000000000000"
MOST: Final = 256
_LEAST_CHARACTERS: Final = 8
_PASSWORD: Final = ("[A-Z]", "[a-z]", "[^A-Za-z]")
_ROLES: Final = (*EVERYBODY, "ReadOnly")


def organizations(call: Call) -> list[Object]:
    root = Organization(ROOT_UID, credentials.ORGANIZATION)
    return [_described(each) for each in (root, *call.system.organizations.values())]


def _described(each: Organization) -> Object:
    return {"uid": each.uid, "name": each.name, "ssd_quota": each.ssd_quota, "total_quota": each.total_quota}


def add_organization(call: Call) -> Object:
    """With its administrator."""
    call.need("name", "username", "password")
    name = str(call.body["name"])
    present = {credentials.ORGANIZATION, *(each.name for each in call.system.organizations.values())}
    if name in present:
        raise RefusedError(400, f"Organization {name} already exists")
    if len(present) >= MOST:
        raise RefusedError(400, f"There are {MOST} organizations already")
    made = Organization(new_uid(), name, int(call.body.get("ssd_quota") or 0), int(call.body.get("total_quota") or 0))
    username, password = str(call.body["username"]), _password(call)
    call.system.organizations[made.uid] = made
    account = credentials.Account(username, password, credentials.ORGANIZATION_ADMIN, name)
    call.system.accounts[f"{name}/{username}"] = account
    call.system.save()
    return _described(made)


def limit_organization(call: Call) -> Object:
    if call.parts["uid"] == ROOT_UID:
        raise RefusedError(400, "The root organization cannot be limited")
    made = call.system.organizations.get(call.parts["uid"])
    if made is None:
        raise RefusedError(404, "Organization not found")
    total = int(call.body.get("total_quota", made.total_quota))
    changed = Organization(made.uid, made.name, int(call.body.get("ssd_quota", made.ssd_quota)), total)
    call.system.organizations[made.uid] = changed
    call.system.save()
    return _described(changed)


def users(call: Call) -> list[Object]:
    """Those of the caller's organization."""
    return [
        {"username": each.username, "role": each.role, "org_name": each.organization, "source": "Internal"}
        for each in call.system.accounts.values()
        if each.organization == call.account.organization
    ]


def add_user(call: Call) -> Object:
    """In the caller's organization."""
    call.need("username", "password", "role")
    organization, username = call.account.organization, str(call.body["username"])
    role = _role(str(call.body["role"]))
    if role == credentials.ADMIN and organization != credentials.ORGANIZATION:
        raise RefusedError(403, f"A {role} is of the organization {credentials.ORGANIZATION} alone")
    if f"{organization}/{username}" in call.system.accounts:
        raise RefusedError(400, f"User {username} already exists")
    made = credentials.Account(username, _password(call), role, organization)
    call.system.accounts[f"{organization}/{username}"] = made
    call.system.save()
    return {"username": username, "role": made.role, "org_name": organization}


def _role(word: str) -> str:
    roles = {role.lower(): role for role in _ROLES}
    if word.lower() not in roles:
        raise RefusedError(400, f"role: {word} is not one of {', '.join(roles.values())}")
    return roles[word.lower()]


def _password(call: Call) -> str:
    password = str(call.body["password"])
    if len(password) < _LEAST_CHARACTERS or not all(re.search(pattern, password) for pattern in _PASSWORD):
        raise RefusedError(
            400,
            f"password: at least {_LEAST_CHARACTERS} characters, one uppercase letter, one lowercase letter, and one"
            " number or special character",
        )
    return password


ROUTES: Final = (
    Route("GET", "organizations", CLUSTER_ADMINS, organizations),
    Route("POST", "organizations", CLUSTER_ADMINS, add_organization),
    Route("PUT", "organizations/{uid}/limits", CLUSTER_ADMINS, limit_organization),
    Route("GET", "users", ADMINS, users),
    Route("POST", "users", ADMINS, add_user),
)
