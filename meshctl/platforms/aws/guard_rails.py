"""The rules of an organisation that each resource on AWS must follow: tags, and how IAM roles are made. PURE.

Types of keys of `environment`; declared by `stacks.aws`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Final

from pydantic import AfterValidator

_MOST_TAGS: Final = 40  # AWS takes 50 on a resource (S3: 50 on a bucket); the others are meshctl's and the mesh's
_OF_MESHCTL: Final = "meshctl.dev/"
# What all services that meshctl uses accept ("Tag naming limits and requirements", Tagging AWS resources).
_TEXT: Final = re.compile(r"[\w \t.:/=+\-@]*")
_KEY_MAX: Final = 128
_VALUE_MAX: Final = 256


def _tags(tags: Mapping[str, str]) -> Mapping[str, str]:
    if len(tags) > _MOST_TAGS:
        raise ValueError(f"{len(tags)} tags: {_MOST_TAGS} at most, since a resource takes 50 with those of meshctl")
    for key, value in tags.items():
        if key.lower().startswith("aws:"):
            raise ValueError(f'tag "{key}": AWS keeps names that begin with aws: for itself')
        if key.startswith(_OF_MESHCTL) or key == "Name":
            raise ValueError(f'tag "{key}": meshctl sets it')
        if not key or len(key) > _KEY_MAX or len(value) > _VALUE_MAX:
            raise ValueError(f'tag "{key}": a name has 1 to {_KEY_MAX} characters, a value {_VALUE_MAX} at most')
        if not _TEXT.fullmatch(key + value):
            raise ValueError(f'tag "{key}": letters, digits, spaces and . : / = + - @ _ only')
    return tags


def _policy(text: str) -> str:
    if not re.fullmatch(r"arn:aws[a-z-]*:iam::([0-9]{12}|aws):policy/[\w+=,.@/-]+", text):
        raise ValueError(f'"{text}" is not an IAM policy like arn:aws:iam::123456789012:policy/boundary')
    return text


def _path(text: str) -> str:
    if not re.fullmatch(r"/([\x21-\x2e\x30-\x7e]+/)*", text) or len(text) > 512:
        raise ValueError(f'"{text}" is not a path of IAM: it begins and ends with a slash, as /teams/genai/')
    return text


RequiredTags = Annotated[dict[str, str], AfterValidator(_tags)]
PermissionsBoundary = Annotated[str, AfterValidator(_policy)]
RolePath = Annotated[str, AfterValidator(_path)]
