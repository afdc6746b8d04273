"""Whether the name of a new bucket is free: what S3 is asked, and what its refusals mean. PURE.

Called by `account`. HeadBucket says 403 of the bucket of another account, and of one's own without s3:ListBucket; both
name the bucket's region. So the account's own buckets are looked at then. A 403 without a region is of a name that is
free, or nobody's to ask about ("HeadBucket" and "ListBuckets", Amazon S3 API reference).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final

from meshctl.model.deployment import Gap
from meshctl.model.questions import ApiAnswer, ApiQuestion

_TELLING_CODES: Final = ("404", "NoSuchBucket", "301")
_RENAME: Final = (
    "give the mesh or the environment another name, or set the environment's `account`, which makes the names of its"
    " buckets differ from those of other accounts"
)
_ALLOW: Final = "allow s3:ListBucket on it to whoever runs meshctl"


def question(bucket: str, about: str) -> ApiQuestion:
    return ApiQuestion(
        _of_name(bucket),
        "s3",
        "head_bucket",
        about,
        {"Bucket": bucket},
        telling_codes=_TELLING_CODES,
        then=partial(_whose, bucket),
    )


def _whose(bucket: str, answer: ApiAnswer) -> tuple[ApiQuestion, ...]:
    if not _is_refused_in_a_region(answer):
        return ()
    about = "which buckets the account has"
    return (ApiQuestion(_of_owner(bucket), "s3", "list_buckets", about, {"Prefix": bucket}),)


def gap(storage: str, bucket: str, answers: Mapping[str, ApiAnswer]) -> Gap | None:
    """None where the name is free, or AWS does not say."""
    answer, own = answers.get(_of_name(bucket), ApiAnswer()), answers.get(_of_owner(bucket))
    if answer.code != "301" and not _is_refused_in_a_region(answer):
        return None
    best, hint = "the name is taken, by another account or in another region", _RENAME
    if answer.code == "403" and (own is None or own.is_refused):
        best = "it is another account's, or the account's own without the right to s3:ListBucket"
        hint = f"{_RENAME}; if it is the account's own, {_ALLOW}"
    elif answer.code == "403" and own and any(each["Name"] == bucket for each in own.content.get("Buckets", ())):
        best, hint = "the account has it already, and refuses s3:ListBucket on it", _ALLOW
    return Gap(subject=f"storage/{storage}", wanted=f"the bucket {bucket}", best=best, hint=hint)


def _is_refused_in_a_region(answer: ApiAnswer) -> bool:
    headers = answer.content.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return answer.code == "403" and "x-amz-bucket-region" in headers


def _of_name(bucket: str) -> str:
    return f"bucket {bucket}"


def _of_owner(bucket: str) -> str:
    return f"owner of {bucket}"
