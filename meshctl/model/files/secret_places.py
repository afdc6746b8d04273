"""Where the user's files name secrets, and what is said when something else stands there. PURE.

Used by `meshctl.model.files.messages` and `meshctl.load`. People paste a secret's value where its name belongs, and a
diagnostic ends up in the log of a CI job: at these places no message, and no path in front of it, repeats what the file
holds. A name is shown only once it has the form that such a name must have.
"""

from __future__ import annotations

import re
from typing import Final

from meshctl.model.files.file_problems import Path, suggestion

_ANY: Final = object()
_Pattern = tuple[object, ...]
_WORKLOAD: Final = ("workloads", _ANY)
_SLOT: Final = ("blueprints", _ANY, _ANY)  # has the keys of a workload
_TOKEN: Final[_Pattern] = ("blueprints", _ANY, "token")
_VARIABLES: Final[tuple[_Pattern, ...]] = ((*_WORKLOAD, "secrets"), (*_SLOT, "secrets"))
_SOURCES: Final[_Pattern] = ("secrets",)
_PULL_SECRETS: Final = tuple(
    (*place, key) for place in (_WORKLOAD, _SLOT) for key in ("imagePullSecrets", "image_pull_secrets")
)

_ENVIRONMENT: Final = ("environments", _ANY)
_OF_NEURAL_MESH: Final = tuple(
    (*_ENVIRONMENT, section, key)
    for section in ("neuralMesh", "neural_mesh")
    for key in ("licence", "imagePullSecret", "image_pull_secret")
)

_OF_ORGANIZATION: Final = tuple(
    (*_ENVIRONMENT, section, "organization", key)
    for section in ("neuralMesh", "neural_mesh")
    for key in ("adminPassword", "driverPassword", "admin_password", "driver_password")
)

_NAME: Final = (
    'must be the name of a secret, not its value: lower-case letters, digits and "-", a letter first, at most 30'
    " characters (what stands here is not shown). The value is read from $MESHCTL_SECRET_<NAME>, or from where"
    ' "secrets:" of environments.yaml says'
)
_VALUES: Final[tuple[tuple[_Pattern, str], ...]] = (
    *(
        (place, "expected a mapping of environment variables to names of secrets, like HF_TOKEN: hf-token")
        for place in _VARIABLES
    ),
    *(((*place, _ANY), _NAME) for place in _VARIABLES),
    (_TOKEN, _NAME),
    *((pattern, "expected a list of names of secrets, like [registry]") for pattern in _PULL_SECRETS),
    *(((*pattern, _ANY), _NAME) for pattern in _PULL_SECRETS),
    *((pattern, _NAME) for pattern in (*_OF_NEURAL_MESH, *_OF_ORGANIZATION)),
    (
        (*_ENVIRONMENT, "storage", _ANY, "weka", "secret"),
        "must be the name of a Secret in the mesh's namespace, not what it holds (what stands here is not shown)",
    ),
    (_SOURCES, "expected a mapping of names of secrets to where they are read, like hf-token: {env: HF_TOKEN}"),
    (
        (*_SOURCES, _ANY),
        "expected where the value is read, {env: VARIABLE} or {file: PATH}, not the value itself (which is not shown)",
    ),
    (
        (*_SOURCES, _ANY, "env"),
        "must be the name of an environment variable, not a secret's value (which is not shown)",
    ),
    ((*_SOURCES, _ANY, "file"), "must be the path of a file, not a secret's value (which is not shown)"),
    (
        ("state", "secrets"),
        'must be "passphrase", or the URL of a key service: awskms://, azurekeyvault://, gcpkms:// or hashivault://'
        " (what stands here is not shown). A passphrase itself belongs in $PULUMI_CONFIG_PASSPHRASE",
    ),
)
_VARIABLE: Final = (
    'a key here must be the name of an environment variable (letters, digits and "_", no digit first, not MESH_…),'
    " like HF_TOKEN: hf-token, or the path of a file in the pod, like /run/secrets/hf: hf-token: absolute, in its"
    " shortest form, not below /proc, /sys, /dev/shm or /etc/meshctl (what stands here is not shown)"
)
_KEYS: Final[tuple[tuple[_Pattern, str], ...]] = (
    *(((*place, _ANY), _VARIABLE) for place in _VARIABLES),
    ((*_SOURCES, _ANY), _NAME),
)
# the form of a key that may be shown: of a variable or a file, of a secret, of where a secret is read
_SHOWN_KEYS: Final[tuple[tuple[_Pattern, str], ...]] = (
    *(((*place, _ANY), r"[A-Za-z_][A-Za-z0-9_]*|(/[A-Za-z0-9_.-]+)+") for place in _VARIABLES),
    ((*_SOURCES, _ANY), r"(?=.{1,30}$)[a-z]([-a-z0-9]*[a-z0-9])?"),
    ((*_SOURCES, _ANY, _ANY), r"env|file"),
)


def value_message(path: Path) -> str | None:
    """What to say of a wrong value at `path`; None where no secret is named."""
    return next((message for pattern, message in _VALUES if _fits(path, pattern)), None)


def key_message(path: Path) -> str | None:
    """What to say of a wrong key at the end of `path`; None where the key belongs to no secret."""
    return next((message for pattern, message in _KEYS if _fits(path, pattern)), None)


def unknown_key_message(path: Path) -> str | None:
    """What to say of a key beside `env` and `file`; None where the key belongs to no secret."""
    if not _fits(path, (*_SOURCES, _ANY, _ANY)):
        return None
    return f"unknown key; expected env or file{suggestion(path[-1], ('env', 'file'))}"


def shown_path(path: Path) -> Path:
    """The path up to the first part that may be a secret's value, which is left out with all after it."""
    for length in range(1, len(path) + 1):
        start = path[:length]
        form = next((form for pattern, form in _SHOWN_KEYS if _fits(start, pattern)), None)
        if form is not None and not re.fullmatch(form, str(start[-1])):
            return start[:-1]
    return path


def is_shown(path: Path) -> bool:
    """Whether a message about `path` may repeat what the file holds there, keys and values."""
    return shown_path(path) == path and not any(value_message(path[:length]) for length in range(1, len(path) + 1))


def _fits(path: Path, pattern: _Pattern) -> bool:
    if len(path) != len(pattern):
        return False
    return all(wanted is _ANY or part == wanted for part, wanted in zip(path, pattern, strict=True))
