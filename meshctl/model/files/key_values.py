"""The values of single keys of the users' files: names, paths, images, ports, each with what it refuses. PURE.

Used by `meshctl.model.mesh` and `meshctl.model.environment`, whose sections are made of them.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticKnownError

from meshctl.model.keys.health import UrlPath
from meshctl.model.pods import pod_files

_LABEL = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"
_HOST = r"^(?=.{1,253}$)([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\.)+[a-z]([-a-z0-9]{0,61}[a-z0-9])?$"
_ENV_NAME = r"^[A-Za-z_][A-Za-z0-9_]*$"
_LABEL_KEY = r"^([a-z0-9]([-a-z0-9.]{0,200}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"
# Source: https://github.com/distribution/reference (regexp.go); a first part with a dot or a port is a registry
_IMAGE = (
    r"^((?=[^/]*[.:]|localhost/)[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?(:[0-9]+)?/)?"
    r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*"
    r"(:[A-Za-z0-9_][-A-Za-z0-9_.]{0,127})?(@[a-z0-9]+:[0-9a-f]{32,})?$"
)
_PATH = r"^/[^:]+$"
# paths at which nothing can be mounted, and why
_TAKEN_PATHS = {
    "/proc": "the kernel's own",
    "/sys": "the kernel's own",
    "/dev/shm": "shared memory is mounted there; leave this mount out",  # noqa: S108
    "/dev/hugepages": "huge pages are mounted there",
    "/etc/meshctl": "settings of the object storage are mounted there",
}
MAKERS = frozenset({"NVIDIA", "TESLA", "AMD", "INSTINCT"})  # words that the names of all accelerators have
_MOST_USERS = 2**31 - 1  # the highest user id that Kubernetes accepts
_LABEL_VALUE = r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$"


def _dns_label(text: str) -> str:
    if len(text) > 30:
        raise ValueError(f'"{text}" has {len(text)} characters; a name has at most 30')
    if not re.fullmatch(_LABEL, text):
        raise ValueError(
            f'"{text}" is not a DNS label: lower-case letters, digits and "-", a letter first, no "-" at the end'
        )
    return text


def _mesh_name(text: str) -> str:
    if text == "default" or text.startswith("kube-"):
        raise ValueError(f'"{text}" is a namespace of the cluster\'s own; choose another name')
    if f"{text}-".startswith("system-"):
        raise ValueError(f'"{text}": priority classes whose names begin with "system-" are Kubernetes\'s own')
    return text


def _workload_name(text: str) -> str:
    if text == "default":
        raise ValueError('"default" is the service account that every namespace has; choose another name')
    return text


def _host(text: str) -> str:
    if not re.fullmatch(_HOST, text):
        raise ValueError(f'"{text}" is not a host name like chat.example.com')
    return text


def _env_name(text: str) -> str:
    if not re.fullmatch(_ENV_NAME, text):
        raise ValueError(f'"{text}" is not a name for an environment variable: letters, digits and "_", no digit first')
    if text.startswith("MESH_"):
        raise ValueError(f'"{text}": names that start with MESH_ are set by meshctl')
    return text


def _label_key(text: str) -> str:
    if not re.fullmatch(_LABEL_KEY, text):
        raise ValueError(f'"{text}" is not a label name: at most 63 letters, digits, "-", "_", "."')
    return text


def _label_value(text: str) -> str:
    if not re.fullmatch(_LABEL_VALUE, text):
        raise ValueError(f'"{text}" is not a label value: at most 63 letters, digits, "-", "_", "."')
    return text


def _port_name(text: str) -> str:
    if len(text) > 15:
        raise ValueError(f'"{text}" has {len(text)} characters; the name of a port has at most 15')
    return _dns_label(text)


def _image(text: str) -> str:
    if re.fullmatch(_IMAGE, text):
        return text
    why = "; write its name in lower case" if re.fullmatch(_IMAGE, text.lower()) else ""
    raise ValueError(f'"{text}" is not an image like vllm/vllm-openai:v0.11.0{why}')


def _absolute(text: str) -> str:
    if not re.fullmatch(_PATH, text) or ".." in text.split("/") or not text.strip("/.") or not text.isprintable():
        raise ValueError(f'"{text}" is not an absolute path below / without ":"')
    normal = "/" + "/".join(part for part in text.split("/") if part not in ("", "."))
    if text.removesuffix("/") != normal:
        raise ValueError(f'"{text}" is not in its shortest form; write "{normal}"')
    for taken, why in _TAKEN_PATHS.items():
        if f"{normal}/".startswith(f"{taken}/"):
            raise ValueError(f'"{text}" can\'t be used: {why}')
        if taken.startswith(f"{normal}/"):
            raise ValueError(f'"{text}" can\'t be used: it would hide {taken}')
    return text


def _file_path(text: str) -> str:
    if text.endswith("/"):
        raise ValueError(f'"{text}" is a folder; write the path of the file itself')
    path = _absolute(text)
    if len(pod_files.key_of(path)) > pod_files.MOST_KEY:
        raise ValueError(f'"{text}" is too long for the path of a file; write a shorter one')
    return path


def _secret_key(text: str) -> str:
    return _file_path(text) if text.startswith("/") else _env_name(text)


def _working_dir(text: str) -> str:
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if not text.startswith("/") or ".." in parts or not text.isprintable():
        raise ValueError(f'"{text}" is not an absolute path without ".."; write it like /app')
    return text


def _user(value: object) -> object:
    if value in ("image", "root") or (
        isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _MOST_USERS
    ):
        return value
    if value == 0 and not isinstance(value, bool):
        raise ValueError("user 0 is root; write `user: root`")
    raise ValueError(f"must be image, root or the number of a user from 1 to {_MOST_USERS}")


def _one_or_many(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _number_or_all(value: object) -> object:
    if value == "all":
        return value
    if isinstance(value, bool) or not isinstance(value, int):
        raise PydanticKnownError("int_type")
    if value < 0:
        raise PydanticKnownError("greater_than_equal", {"ge": 0})
    return value


def node_range(value: object) -> object:
    if not isinstance(value, int) or isinstance(value, bool):
        return value
    if value < 1:
        raise ValueError(f"must be at least 1, got {value}; a pool that may be empty has {{min: 0, max: N}}")
    return {"min": value, "max": value}


def _model_name(text: str) -> str:
    """Check that the name has a word that tells models apart. `resolve.placement.machine_types.machines` compares
    words, and the maker's name or the memory alone would fit any accelerator."""
    words = re.findall(r"[A-Z0-9]+", text.upper())
    if not [word for word in words if word not in MAKERS and not re.fullmatch(r"[0-9]+GI?B?", word)]:
        raise ValueError(f'"{text}" names no model; write it like H100')
    return text


def _port_reference(value: object) -> object:
    if isinstance(value, int | float):
        message = f"expected the name of one of the workload's ports, got {value}"
        raise ValueError(f"{message}; write the name that `ports` gives it")
    return value


def _no_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("can't hold a NUL character")
    return text


def printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError(f'"{text}" holds characters that can\'t be printed; in a URL they are written like %20')
    return text


DnsLabel = Annotated[str, AfterValidator(_dns_label), Field(json_schema_extra={"pattern": _LABEL, "maxLength": 30})]
MeshName = Annotated[DnsLabel, AfterValidator(_mesh_name)]
WorkloadName = Annotated[DnsLabel, AfterValidator(_workload_name)]
Host = Annotated[str, AfterValidator(_host), Field(json_schema_extra={"pattern": _HOST})]
EnvName = Annotated[str, AfterValidator(_env_name), Field(json_schema_extra={"pattern": _ENV_NAME})]
AbsolutePath = Annotated[str, AfterValidator(_absolute), Field(json_schema_extra={"pattern": _PATH})]
FilePath = Annotated[str, AfterValidator(_file_path), Field(json_schema_extra={"pattern": _PATH})]
SecretKey = Annotated[str, AfterValidator(_secret_key), Field(json_schema_extra={"pattern": f"{_ENV_NAME}|{_PATH}"})]
WorkingDir = Annotated[str, AfterValidator(_working_dir), Field(json_schema_extra={"pattern": "^/"})]
LabelKey = Annotated[str, AfterValidator(_label_key)]
LabelValue = Annotated[str, AfterValidator(_label_value)]
Labels = dict[LabelKey, LabelValue]
PortName = Annotated[str, AfterValidator(_port_name), Field(json_schema_extra={"pattern": _LABEL, "maxLength": 15})]
Image = Annotated[str, AfterValidator(_image), Field(json_schema_extra={"pattern": _IMAGE})]
Text = Annotated[str, Field(min_length=1), AfterValidator(_no_nul)]
Argument = Annotated[str, AfterValidator(_no_nul)]  # or the value of a variable
HealthPath = Annotated[UrlPath, AfterValidator(printable)]
PortReference = Annotated[Text, BeforeValidator(_port_reference, json_schema_input_type=Text)]
User = Annotated[
    Annotated[int, Field(ge=1, le=_MOST_USERS)] | Literal["image", "root"],
    BeforeValidator(_user),
]
Count = Annotated[int, Field(strict=True, ge=1)]
NumberOrAll = Annotated[Annotated[int, Field(ge=0)] | Literal["all"], BeforeValidator(_number_or_all)]
Port = Annotated[int, Field(strict=True, ge=1, le=65535)]
Models = Annotated[
    tuple[Annotated[Text, AfterValidator(_model_name)], ...],
    BeforeValidator(_one_or_many),
    Field(min_length=1),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}),
]
