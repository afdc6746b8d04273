"""Kubernetes quantities as numbers. PURE. Called by `clusters` and `field_rules`."""

from __future__ import annotations

_UNITS = {"Ki": 1024, "Mi": 1024**2, "Gi": 1024**3, "Ti": 1024**4, "Pi": 1024**5, "Ei": 1024**6}
_UNITS |= {"k": 1000, "M": 1000**2, "G": 1000**3, "T": 1000**4, "P": 1000**5, "E": 1000**6}


def quantity(text: str) -> float:
    """A Kubernetes quantity as a number
    (https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/)."""
    for suffix, factor in _UNITS.items():
        if text.endswith(suffix):
            return float(text.removesuffix(suffix)) * factor
    return float(text.removesuffix("m")) / 1000 if text.endswith("m") else float(text)
