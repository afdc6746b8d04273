"""The access keys that the lab knows: `ROOT/aws/credentials`, each profile an IAM user of the account. EDGE.

Called by `server` for every request. A key given out by the API itself (IAM users, assumed roles) is known too.
"""

from __future__ import annotations

import configparser
from pathlib import Path
from typing import Any

from moto.core import DEFAULT_ACCOUNT_ID
from moto.iam.models import AccessKey, iam_backends
from moto.sts.models import sts_backends

from meshctl.lab.aws.call import Call
from meshctl.lab.aws.errors import ApiError
from meshctl.lab.pods.identity import ACCESS_KEY as POD_ACCESS_KEY

PARTITION = "aws"


class Credentials:
    """Reads the file again whenever it changes. A missing file knows no key."""

    def __init__(self, root: Path) -> None:
        self.file = root / "aws" / "credentials"
        self._stamp: tuple[int, int] | None = None
        self._profiles: dict[str, str] = {}  # access key id -> profile

    def check(self, call: Call) -> None:
        """Raises: ApiError as AWS does, when the access key is missing or unknown."""
        if not call.access_key:
            code = "AccessDenied" if call.service == "s3" else "MissingAuthenticationToken"
            raise ApiError(code, "Request is missing Authentication Token")
        if not self.has_key(call.access_key):
            if call.service == "s3":
                raise ApiError(
                    "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records."
                )
            code = "InvalidClientTokenId" if call.operation or call.model else "UnrecognizedClientException"
            raise ApiError(code, "The security token included in the request is invalid.", status=403)

    def has_key(self, access_key: str) -> bool:
        self._refresh()
        return access_key in self._profiles or access_key == POD_ACCESS_KEY or _of_moto(access_key)

    def profile_of(self, access_key: str) -> str:
        """The profile of the file that has this key; "" for keys that the API gave out."""
        self._refresh()
        return self._profiles.get(access_key, "")

    def keys_of(self, principal_arn: str) -> list[str]:
        """The access keys of the file that act as this principal."""
        self._refresh()
        return [key for key in self._profiles if principal(key) == principal_arn]

    def _refresh(self) -> None:
        try:
            stat = self.file.stat()
        except OSError:
            return
        stamp = (stat.st_mtime_ns, stat.st_size)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        parser = configparser.ConfigParser(interpolation=None)
        try:
            parser.read(self.file)
        except configparser.Error:
            return
        keys = {parser[name].get("aws_access_key_id", ""): name for name in parser.sections()}
        self._profiles = {key: name for key, name in keys.items() if key}
        for key, name in self._profiles.items():
            _make_user(name, key)


def principal(access_key: str) -> str:
    """The IAM ARN that a key acts as; of an assumed role, the role's, with the path that STS leaves out."""
    backend = sts_backends[_account_of(access_key)][PARTITION]
    arn = str(backend.get_caller_identity(access_key, "us-east-1")[1])
    if ":assumed-role/" not in arn:
        return arn
    account, _, rest = arn.partition(":assumed-role/")
    name = rest.split("/")[0]
    roles: Any = iam_backends[_account_of(access_key)][PARTITION].roles.values()
    same_name = (str(role.arn) for role in roles if role.name == name)
    return next(same_name, f"{account.replace(':sts:', ':iam:')}:role/{name}")


def _account_of(access_key: str) -> str:
    """The account whose role a key has assumed, which may be another one; the lab's own for all other keys."""
    for account in list(sts_backends):
        if sts_backends[account][PARTITION].get_assumed_role_from_access_key(access_key):
            return str(account)
    return str(DEFAULT_ACCOUNT_ID)


def _of_moto(access_key: str) -> bool:
    if sts_backends[_account_of(access_key)][PARTITION].get_assumed_role_from_access_key(access_key):
        return True
    return iam_backends[DEFAULT_ACCOUNT_ID][PARTITION].get_user_from_access_key_id(access_key) is not None


def _make_user(name: str, access_key: str) -> None:
    iam: Any = iam_backends[DEFAULT_ACCOUNT_ID][PARTITION]
    if iam.get_user_from_access_key_id(access_key) is not None:
        return
    user = iam.users.get(name) or iam.create_user(iam.region_name, user_name=name)
    if isinstance(user, tuple):
        user = user[0]
    key = AccessKey(user_name=user.name, prefix="AKIA", account_id=DEFAULT_ACCOUNT_ID)
    key.access_key_id = access_key
    user.access_keys.append(key)
    iam.access_keys[access_key] = key
