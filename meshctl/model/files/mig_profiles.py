"""MIG profiles: into which slices NVIDIA's accelerators can be divided, by Kubernetes' names for them. PURE.

Used by `meshctl.model.mesh`, which refuses a `share` that the accelerator beside it can't have.
"""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from meshctl.model.files.key_values import MAKERS

_SHARE: Final = r"^mig-[1-7]g\.[0-9]+gb(\.me)?$"
# (words of the accelerator's name, its profiles). The smallest profile can also have the media engines ("+me"), which
# the device plugin writes as ".me". Sources, read 2026-11-29: NVIDIA MIG User Guide, "Supported MIG Profiles"
# (docs.nvidia.com/datacenter/tesla/mig-user-guide) for A30, A100, H100 and H200; for B200 and GB200 also the API of
# SageMaker (MIGProfileType) and GoogleCloudPlatform/container-engine-accelerators, pkg/gpu/nvidia/mig.
_PROFILES: Final[tuple[tuple[frozenset[str], str], ...]] = (
    (frozenset({"A30", "24GB"}), "1g.6gb 2g.12gb 4g.24gb"),
    (frozenset({"A100", "40GB"}), "1g.5gb 1g.10gb 2g.10gb 3g.20gb 4g.20gb 7g.40gb"),
    (frozenset({"A100", "80GB"}), "1g.10gb 1g.20gb 2g.20gb 3g.40gb 4g.40gb 7g.80gb"),
    (frozenset({"H100", "80GB"}), "1g.10gb 1g.20gb 2g.20gb 3g.40gb 4g.40gb 7g.80gb"),
    (frozenset({"H100", "94GB"}), "1g.12gb 1g.24gb 2g.24gb 3g.47gb 4g.47gb 7g.94gb"),
    (frozenset({"H200", "141GB"}), "1g.18gb 1g.35gb 2g.35gb 3g.71gb 4g.71gb 7g.141gb"),
    (frozenset({"B200", "180GB"}), "1g.23gb 1g.45gb 2g.45gb 3g.90gb 4g.90gb 7g.180gb"),
    (frozenset({"GB200", "186GB"}), "1g.23gb 1g.47gb 2g.47gb 3g.93gb 4g.93gb 7g.186gb"),
)

_WITH_MEDIA_ENGINES: Final = ("mig-1g.", "mig-2g.12gb")


def _share(text: str) -> str:
    if re.fullmatch(_SHARE, text):
        return text
    profile = text.lower().removeprefix("mig-").replace("+me", ".me")
    way_out = f"write mig-{profile}" if re.fullmatch(_SHARE, f"mig-{profile}") else "write it like mig-3g.40gb"
    raise ValueError(f'"{text}" is not the name of a MIG slice; {way_out}')


Share = Annotated[str, AfterValidator(_share), Field(json_schema_extra={"pattern": _SHARE})]


def shares_of(model: str) -> tuple[str, ...]:
    """The slices that an accelerator can have, of each of its sizes where `model` names none; none where it is not in
    NVIDIA's table."""
    words = frozenset(re.split(r"[-_\s]+", model.upper())) - MAKERS
    of_model = [(row, profiles) for row, profiles in _PROFILES if row & words - _sizes(row)]
    of_size = [(row, profiles) for row, profiles in of_model if _sizes(row) & words]
    profiles = dict.fromkeys(profile for _, listed in of_size or of_model for profile in listed.split())
    return tuple(f"mig-{profile}" for profile in profiles)


def _sizes(row: frozenset[str]) -> frozenset[str]:
    return frozenset(word for word in row if word.endswith("GB"))


def checked(share: str, model: str) -> None:
    """Check that the accelerator can have the slice; one that is not in the table can have any. Raises: ValueError."""
    shares = shares_of(model)
    plain = share.removesuffix(".me")
    has_engines = plain == share or plain.startswith(_WITH_MEDIA_ENGINES)
    if shares and (plain not in shares or not has_engines):
        raise ValueError(f"{model} can't be divided into {share}; it can have {', '.join(shares)}")
