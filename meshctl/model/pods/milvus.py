"""Milvus keeps the vectors of an index in a bucket, and what they are in its etcd: neither is an index alone. PURE.

Used by `check` and by the plans of migrations, which copy buckets and know no etcd. Source: milvus.io/docs, "Storage
and computing disaggregation", meta storage and object storage.
"""

from __future__ import annotations

import re
from typing import Final

_IMAGE: Final = re.compile(r"(?:^|/)milvusdb/milvus(?:[:@]|$)")  # also at a mirror


def is_image(image: str) -> bool:
    return bool(_IMAGE.search(image))
