"""The AWS SDK for one profile and region. Called by `location`, `endpoint_names` and `object_access`. EDGE.

botocore alone, which boto3's clients are too: what boto3 adds (resources, transfers) is not used here, and would make
every command start later.
"""

from __future__ import annotations

import botocore.session


def aws_session(profile: str, region: str) -> botocore.session.Session:
    """Empty arguments: what the SDK finds by itself. Raises: botocore's ProfileNotFound, at once."""
    session = botocore.session.Session(profile=profile or None)
    if region:
        session.set_config_variable("region", region)
    session.get_scoped_config()
    return session
