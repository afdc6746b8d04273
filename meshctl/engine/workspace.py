"""The working folder of one stack: Pulumi.yaml, provider launchers, backend, secrets provider. EDGE.

Made by `session`; used by `run`. Each stack has a folder of its own (`.meshctl/work/<stack>`), so that two environments
of a mesh can be deployed at the same time. Pulumi.yaml names the providers by path, so that nothing is installed into
the user's Pulumi home.
"""

from __future__ import annotations

import json
import os
import secrets
import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from pulumi import automation
from pulumi.automation.events import EngineEvent

from meshctl import atomic_write, own_folder, secret_variables, tools, user_paths
from meshctl.engine import pulumi_private, state_file, state_folder
from meshctl.engine.command import PulumiProgram
from meshctl.errors import UsageError
from meshwire import versions
from meshwire.marks import SIGNATURE

# Whether the kubernetes plugin forces conflicts with each apply, so that it takes over fields of other programs
# (official plugin: `patchForce`).
_FORCE_CONFLICTS = "PULUMI_K8S_ENABLE_PATCH_FORCE"
_DELETE_UNREACHABLE = "PULUMI_K8S_DELETE_UNREACHABLE"
KUBERNETES_PLUGIN = f"resource-kubernetes-v{versions.KUBERNETES_PLUGIN}"


@dataclass(frozen=True)
class Backend:
    """Where the state lives. `url` is a Pulumi backend URL; `secrets_provider` a Pulumi secrets provider."""

    url: str
    secrets_provider: str
    folder: Path  # the mesh's folder, which contains `.meshctl`

    @property
    def is_local(self) -> bool:
        return state_folder.is_folder(self.url)

    @property
    def is_own(self) -> bool:
        """Whether the state is in the mesh's own folder, so that no other project stores its state there."""
        top = self.folder.resolve()
        return self.is_local and state_folder.path_of(self.url, top).is_relative_to(top)

    @property
    def engine_url(self) -> str:
        return state_folder.engine_url(self.url, self.folder) if self.is_local else self.url


class StackWorkspace(automation.LocalWorkspace):
    """A LocalWorkspace whose stacks are named on every call instead of selected, which saves a run of the program."""

    def select_stack(self, stack_name: str, show_secrets: bool | None = None) -> None:  # noqa: ARG002, FBT001
        return None


class EngineStack(automation.Stack):
    """A stack whose methods return when the engine ends.

    After each run the SDK would start the pulumi program up to three more times, for outputs and history. Neither is
    needed here: steps come from the engine's events, and outputs from the exported state.
    """

    read_file: Callable[[], dict[str, Any] | None] = staticmethod(lambda: None)
    """The state from its file; None where the program has to be asked (`state_file.exported`)."""

    def outputs(self) -> automation.OutputMap:
        return {}

    def preview(self, *args: Any, without_cluster: bool = False, **options: Any) -> automation.PreviewResult:
        """As the SDK does it, but with forced conflicts, so that fields of other programs don't fail the preview.

        An `up` takes such fields over before its run. In a preview the server's dry run does, which changes nothing.
        `without_cluster`: the cluster is known to be gone, so its objects count as deleted.
        """
        env_vars = self.workspace.env_vars
        self.workspace.env_vars = {
            **env_vars,
            _FORCE_CONFLICTS: "true",
            _DELETE_UNREACHABLE: str(without_cluster).lower(),
        }
        try:
            return super().preview(*args, **options)
        finally:
            self.workspace.env_vars = env_vars

    def exported(self, *, plain_secrets: bool) -> dict[str, Any]:
        """The state as the engine exports it: `version` and `deployment`, which is None where there is no such stack.
        Only where there are secrets to decrypt, or the state is on another machine, is the program started.

        Raises: `automation.CommandError`, StackNotFoundError among them.
        """
        state = self.read_file()
        if state is not None and not (plain_secrets and SIGNATURE in json.dumps(state)):
            return state
        options = ["--show-secrets"] if plain_secrets else []
        printed: dict[str, Any] = json.loads(pulumi_private.run_command(self, ["stack", "export", *options]).stdout)
        return printed

    def rewrite(self, change: Callable[[Mapping[str, Any]], dict[str, Any] | None]) -> None:
        """Replace the state's deployment by the result of `change`; None leaves it.

        The SDK's own export and import have secrets in plain text, in a file that stays when the import fails. Here
        secrets stay encrypted, and the state goes through a pipe, so that a kill leaves no copy of it.
        Raises: `automation.CommandError`, StackNotFoundError among them.
        """
        exported = self.exported(plain_secrets=False)
        deployment = change(exported.get("deployment") or {})
        if deployment is None:
            return
        program = self.workspace.pulumi_command
        if not isinstance(program, PulumiProgram):
            raise TypeError("a stack is opened with meshctl's own PulumiProgram, which can write to the engine's stdin")
        program.run(
            ["stack", "import", "--stack", self.name],
            self.workspace.work_dir,
            self.workspace.env_vars,
            stdin_text=json.dumps({**exported, "deployment": deployment}),
        )

    def reread(self, urns: list[str], on_event: Callable[[EngineEvent], None], parallel: int) -> None:
        """Update these resources in the state from their APIs. Raises: `automation.CommandError`."""
        self.refresh(
            target=urns,
            on_event=on_event,
            parallel=parallel,
            run_program=False,
            suppress_outputs=True,
            suppress_progress=True,
        )

    def compare(self, urns: list[str], on_event: Callable[[EngineEvent], None], parallel: int) -> None:
        """As `reread`, but the state is not changed."""
        self.preview_refresh(
            target=urns,
            on_event=on_event,
            parallel=parallel,
            run_program=False,
            suppress_outputs=True,
            suppress_progress=True,
        )

    def info(self, show_secrets: bool = True) -> automation.UpdateSummary:  # noqa: ARG002, FBT001, FBT002
        return automation.UpdateSummary("", datetime.now(UTC), "", {}, {}, "")


def open_stack(
    backend: Backend, project: str, stack: str, program: Callable[[], None], pulumi: PulumiProgram
) -> EngineStack:
    """The stack `stack` of `project`. A new one is created by its first run.

    Raises: UsageError when a passphrase is needed and none is set.
    """
    folder = backend.folder / ".meshctl" / "work" / stack
    own_folder.make(folder)
    if backend.is_local:
        state = state_folder.path_of(backend.url, backend.folder)
        own_folder.make(state)
        state_folder.remove_incomplete_files(state, project, stack)
    _write_if_changed(folder / "Pulumi.yaml", yaml.safe_dump(_project_file(backend, project, folder)))
    workspace = StackWorkspace(
        work_dir=str(folder),
        program=program,
        env_vars=_environment(backend),
        secrets_provider=backend.secrets_provider,
        pulumi_command=pulumi,
    )
    opened = EngineStack(stack, workspace, pulumi_private.SELECT)
    opened.read_file = partial(state_file.exported, backend.url, backend.folder, project, stack)
    return opened


def path_with_meshctl() -> str:
    """PATH with this installation's programs first, as generated kubeconfigs run just `meshctl` for credentials."""
    own = str(Path(sys.executable).parent)
    parts = [part for part in os.environ.get("PATH", os.defpath).split(os.pathsep) if part != own]
    return os.pathsep.join([own, *parts])


def pulumi_program() -> PulumiProgram:
    return PulumiProgram(partial(tools.find, "pulumi"), versions.PULUMI)


def _project_file(backend: Backend, project: str, folder: Path) -> dict[str, Any]:
    providers = [{"name": "meshaws", "path": str(_launcher(folder, "meshaws", "providers.aws"))}]
    if not official_kubernetes_plugin():
        providers.append({"name": "kubernetes", "path": str(_launcher(folder, "kubernetes", "providers.kubernetes"))})
    return {
        "name": project,
        "runtime": "python",
        "description": "made by meshctl; changes here are overwritten",
        "backend": {"url": backend.engine_url},
        "plugins": {"providers": providers},
    }


def official_kubernetes_plugin() -> Path | None:
    """The official kubernetes plugin, if it is installed where Pulumi looks for it."""
    home = Path(os.environ.get("PULUMI_HOME") or user_paths.home() / ".pulumi")
    program = home / "plugins" / KUBERNETES_PLUGIN / "pulumi-resource-kubernetes"
    return program if os.access(program, os.X_OK) else None


def _launcher(folder: Path, name: str, module: str) -> Path:
    """A folder with an executable `pulumi-resource-NAME` that runs our provider with the current interpreter."""
    plugin = folder / "plugins" / name
    plugin.mkdir(parents=True, exist_ok=True)
    program = plugin / f"pulumi-resource-{name}"
    root = Path(__file__).parents[2]  # the folder from which `providers` can be imported
    text = (
        "#!/bin/sh\n"
        f'PYTHONPATH={shlex.quote(str(root))}"${{PYTHONPATH:+:$PYTHONPATH}}"; export PYTHONPATH\n'
        f'exec {shlex.quote(sys.executable)} -m {module} "$@"\n'
    )
    _write_if_changed(program, text)
    program.chmod(0o755)
    return plugin


def _environment(backend: Backend) -> dict[str, str]:
    environment = {
        # This variable in the user's shell would override Pulumi.yaml, and the state would not be next to the journal.
        "PULUMI_BACKEND_URL": backend.engine_url,
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        # In the user's shell, "true" would make `up` take over all fields without a word,
        _FORCE_CONFLICTS: "false",
        # and this one would make the objects of an API server that doesn't answer count as deleted.
        _DELETE_UNREACHABLE: "false",
    }
    if backend.secrets_provider == "passphrase":
        environment |= _passphrase(backend)
    return environment


def _passphrase(backend: Backend) -> dict[str, str]:
    """The user's passphrase; else, for a state on this machine, one in a file next to it only for its owner."""
    for name in (secret_variables.PASSPHRASE, "PULUMI_CONFIG_PASSPHRASE_FILE"):
        value = secret_variables.value(name)
        if value is not None:
            return {name: os.fsdecode(value)}
    if not backend.is_local:
        raise UsageError(
            "the secrets in the state are encrypted with a passphrase, and no passphrase is set",
            why=f"the state is shared ({backend.url}), so meshctl can't generate a passphrase of its own",
            hint="set PULUMI_CONFIG_PASSPHRASE or PULUMI_CONFIG_PASSPHRASE_FILE, or a key service as `state.secrets`",
        )
    file = backend.folder / ".meshctl" / "passphrase"
    if not file.exists():
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w") as stream:
                stream.write(secrets.token_urlsafe(32))
        except OSError:
            file.unlink()  # an empty file would be used as an empty passphrase
            raise
    return {"PULUMI_CONFIG_PASSPHRASE_FILE": str(file)}


def _write_if_changed(path: Path, text: str) -> None:
    if not path.exists() or path.read_text() != text:
        atomic_write.write(path, text)
