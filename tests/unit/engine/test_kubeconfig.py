"""One context for each environment that meshctl made, owned by the user alone."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from meshctl.deploy import kubeconfig
from meshctl.errors import FileError


def made(name: str) -> str:
    user = {"exec": {"command": "meshctl", "args": ["eks-token"]}}
    return json.dumps(
        {
            "clusters": [{"name": name, "cluster": {"server": f"https://{name}"}}],
            "users": [{"name": name, "user": user}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        }
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / ".meshctl").mkdir()
    return tmp_path


def test_contexts_are_added_renewed_and_removed(folder: Path) -> None:
    for name in ("aws-east", "aws-west", "aws-east"):
        kubeconfig.write_context(folder, name, made(name))
    config = yaml.safe_load(kubeconfig.path(folder).read_text())
    assert sorted(context["name"] for context in config["contexts"]) == ["aws-east", "aws-west"]
    assert kubeconfig.path(folder).stat().st_mode & 0o777 == 0o600
    kubeconfig.remove_context(folder, "aws-east")
    config = yaml.safe_load(kubeconfig.path(folder).read_text())
    assert [context["name"] for context in config["contexts"]] == ["aws-west"]
    kubeconfig.remove_context(folder, "aws-west")
    assert not kubeconfig.path(folder).exists()


def test_kubectl_finds_the_program_from_any_folder(folder: Path) -> None:
    kubeconfig.write_context(folder, "aws-east", made("aws-east"))
    (user,) = yaml.safe_load(kubeconfig.path(folder).read_text())["users"]
    assert Path(user["user"]["exec"]["command"]).is_absolute()


@pytest.mark.parametrize("text", ["a: [", "7", "clusters: 7", "clusters: [7]", "users: [{}]", "\0"])
def test_an_invalid_kubeconfig_file_is_an_error(folder: Path, text: str) -> None:
    kubeconfig.path(folder).write_text(text)
    changes: list[Callable[[], object]] = [
        lambda: kubeconfig.write_context(folder, "a", made("a")),
        lambda: kubeconfig.remove_context(folder, "a"),
    ]
    for change in changes:
        with pytest.raises(FileError, match="is not a valid kubeconfig") as told:
            change()
        assert "remove the file" in told.value.hint
