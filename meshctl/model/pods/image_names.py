"""Names of images as container runtimes read them, and the mirrors that environments.yaml names for them. PURE.

`environment` validates `images` with it, `render` and `resolve` ask it which entry holds for an image. `redis:7`,
`docker.io/redis:7` and `index.docker.io/library/redis:7` are one image, so that names are compared in full.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

_DEFAULT_REGISTRY: Final = "docker.io"
_OLD_REGISTRY: Final = "index.docker.io"
_PART: Final = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"  # Source: github.com/distribution/reference, regexp.go
_HOST: Final = r"(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:]+\])(?::[0-9]{1,5})?"
_NAME: Final = re.compile(rf"(?:{_HOST}|{_PART})(?:/{_PART})*")


def checked_beginning(text: str) -> str:
    """The text, if names of images can begin with it. Raises ValueError."""
    if not _NAME.fullmatch(text):
        raise ValueError(
            f'"{text}" is not the beginning of an image\'s name: write a registry (docker.io), a part of it'
            " (docker.io/acme) or an image (docker.io/library/redis) in lower case, without https://, a tag or a / at"
            " the end"
        )
    return text


def checked_place(text: str) -> str:
    """The text, if it says where images are: a registry, or a path. Raises ValueError."""
    if not _NAME.fullmatch(text) or not ("/" in text or _is_registry(text)):
        raise ValueError(
            f'"{text}" is not a place of images: write a registry, with or without a path, such as'
            " mirror.example.com/docker: in lower case, without https://, a tag or a / at the end"
        )
    return text


def checked(mirrors: dict[str, str]) -> dict[str, str]:
    """The mirrors, if no two hold for the same images. Raises ValueError."""
    by_name: dict[str, str] = {}
    for beginning in mirrors:
        other = by_name.setdefault(_full_beginnings(beginning)[0], beginning)
        if other != beginning:
            raise ValueError(f'"{other}" and "{beginning}" stand for the same images; remove one of them')
    return mirrors


def mirrored(image: str, mirrors: Mapping[str, str]) -> str:
    """The image at the mirror for the longest beginning of its name; the image itself where there is none."""
    beginning = beginning_of(image, mirrors)
    if beginning is None:
        return image
    name = _full_image(image)
    return mirrors[beginning] + name.removeprefix(_matching(name, beginning))


def is_of_docker_hub(image: str) -> bool:
    return _full_image(image).startswith(f"{_DEFAULT_REGISTRY}/")


def official_name(image: str) -> str:
    """What an official image of Docker Hub is called there, such as redis; "" for every other image."""
    official, library = _full_image(image), f"{_DEFAULT_REGISTRY}/library/"
    return re.split("[:@]", official.removeprefix(library))[0] if official.startswith(library) else ""


def beginning_of(image: str, mirrors: Iterable[str]) -> str | None:
    """The entry of `mirrors` that holds for the image; None where there is none."""
    name = _full_image(image)
    lengths = {beginning: len(_matching(name, beginning)) for beginning in mirrors}
    return max((each for each in lengths if lengths[each]), key=lambda each: lengths[each], default=None)


def _matching(name: str, beginning: str) -> str:
    """The part of the full name that the beginning stands for; "" if the name does not begin with it."""
    full = _full_beginnings(beginning)
    return next((each for each in full if re.match(rf"{re.escape(each)}(?:[/:@]|$)", name)), "")


def _full_image(image: str) -> str:
    first, slash, rest = image.partition("/")
    registry, path = (_registry(first), rest) if slash and _is_registry(first) else (_DEFAULT_REGISTRY, image)
    return f"{registry}/library/{path}" if registry == _DEFAULT_REGISTRY and "/" not in path else f"{registry}/{path}"


def _full_beginnings(beginning: str) -> tuple[str, ...]:
    """The full names that a beginning may stand for. On Docker Hub, `acme` may be an image (`library/acme`) as well as
    a folder of images."""
    first, _, rest = beginning.partition("/")
    registry, path = (_registry(first), rest) if _is_registry(first) else (_DEFAULT_REGISTRY, beginning)
    if not path:
        return (registry,)
    if registry == _DEFAULT_REGISTRY and "/" not in path:
        return (f"{registry}/library/{path}", f"{registry}/{path}")
    return (f"{registry}/{path}",)


def _registry(name: str) -> str:
    return _DEFAULT_REGISTRY if name == _OLD_REGISTRY else name


def _is_registry(text: str) -> bool:
    return "." in text or ":" in text or text == "localhost"
