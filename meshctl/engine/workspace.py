"""The working folder of one stack: Pulumi.yaml, provider launchers, backend, secrets provider. EDGE.

Made by `session`; used by `run`. One folder for each stack (`.meshctl/work/<stack>`), so that two environments of a
mesh can be worked on at the same time. The providers are named in Pulumi.yaml by path: nothing is installed into the
user's Pulumi home.
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
from meshctl.engine import pulumi_private, state_folder
from meshctl.engine.command import PulumiProgram
from meshctl.errors import UsageError
from meshwire import versions

# Whether the kubernetes plugin takes over fields of other programs with each apply (official plugin: `patchForce`).
_FORCED = "PULUMI_K8S_ENABLE_PATCH_FORCE"
_GONE = "PULUMI_K8S_DELETE_UNREACHABLE"
KUBERNETES_PLUGIN = f"resource-kubernetes-v{versions.KUBERNETES_PLUGIN}"


@dataclass(frozen=True)
class Backend:
    """Where the state lives. `url` is a Pulumi backend URL; `secrets_provider` a Pulumi secrets provider."""

    url: str
    secrets_provider: str
    folder: Path  # the mesh's own folder: `.meshctl` lies in it

    @property
    def is_local(self) -> bool:
        return state_folder.is_folder(self.url)

    @property
    def is_own(self) -> bool:
        """Whether it lies in the mesh's own folder, so that nobody else keeps a state there."""
        top = self.folder.resolve()
        return self.is_local and state_folder.path_of(self.url, top).is_relative_to(top)

    @property
    def engine_url(self) -> str:
        return state_folder.engine_url(self.url, self.folder) if self.is_local else self.url


class StackWorkspace(automation.LocalWorkspace):
    """A LocalWorkspace whose stacks are named on every call, never selected: one program run less for each
    command."""

    def select_stack(self, stack_name: str, show_secrets: bool | None = None) -> None:  # noqa: ARG002, FBT001
        return None


class EngineStack(automation.Stack):
    """A stack whose runs end when the engine does.

    After each run the SDK would start the pulumi program up to three times more, for outputs and history that nobody
    here reads: what was done comes from the engine's events, outputs from the exported state.
    """

    def outputs(self) -> automation.OutputMap:
        return {}

    def preview(self, *args: Any, without_cluster: bool = False, **options: Any) -> automation.PreviewResult:
        """As the SDK does it. A preview only shows what `up` will do about fields of other programs, which takes over
        what is to be set before its run: here the server's dry run takes them over, which changes nothing.

        `without_cluster`: objects in a cluster that doesn't answer count as gone, since the cluster is known to be.
        """
        given = self.workspace.env_vars
        self.workspace.env_vars = {**given, _FORCED: "true", _GONE: str(without_cluster).lower()}
        try:
            return super().preview(*args, **options)
        finally:
            self.workspace.env_vars = given

    def exported(self, *, plain_secrets: bool) -> dict[str, Any]:
        """The state as the engine exports it: `version` and `deployment`. Plain secrets take it twice the time.

        Raises: `automation.CommandError`, StackNotFoundError among them.
        """
        options = ["--show-secrets"] if plain_secrets else []
        found: dict[str, Any] = json.loads(pulumi_private.run_command(self, ["stack", "export", *options]).stdout)
        return found

    def rewrite(self, change: Callable[[Mapping[str, Any]], dict[str, Any] | None]) -> None:
        """Replace the state's deployment by what `change` makes of it; None leaves it.

        The SDK's own export and import have the secrets in plain text, and a file that stays when the import fails.
        Here they are encrypted, and the state goes through a pipe: a kill leaves no copy of it.
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
        """Bring these resources of the state in line with what their APIs tell. Raises: `automation.CommandError`."""
        self.refresh(
            target=urns,
            on_event=on_event,
            parallel=parallel,
            run_program=False,
            suppress_outputs=True,
            suppress_progress=True,
        )

    def compare(self, urns: list[str], on_event: Callable[[EngineEvent], None], parallel: int) -> None:
        """As `reread`, with the state left as it is."""
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
    """The stack `stack` of `project`, not created yet if it is new: its first run does that.

    Raises: UsageError when a passphrase is needed and there is none.
    """
    folder = backend.folder / ".meshctl" / "work" / stack
    own_folder.make(folder)
    if backend.is_local:
        state = state_folder.path_of(backend.url, backend.folder)
        own_folder.make(state)
        state_folder.remove_torn(state, project, stack)
    _write_if_changed(folder / "Pulumi.yaml", yaml.safe_dump(_project_file(backend, project, folder)))
    workspace = StackWorkspace(
        work_dir=str(folder),
        program=program,
        env_vars=_environment(backend),
        secrets_provider=backend.secrets_provider,
        pulumi_command=pulumi,
    )
    return EngineStack(stack, workspace, pulumi_private.SELECT)


def path_with_meshctl() -> str:
    """PATH with this installation's programs first: exec credentials of generated kubeconfigs say just `meshctl`."""
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
    """A folder with an executable `pulumi-resource-NAME` that runs our provider with this very interpreter."""
    plugin = folder / "plugins" / name
    plugin.mkdir(parents=True, exist_ok=True)
    program = plugin / f"pulumi-resource-{name}"
    root = Path(__file__).parents[2]  # where `providers` is importable from, whatever the working folder
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
        # a variable of the user's shell would win over Pulumi.yaml, and put the state elsewhere than the journal
        "PULUMI_BACKEND_URL": backend.engine_url,
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        # a variable of the user's shell would have `up` take everything over in silence
        _FORCED: "false",
        # and have an API server that doesn't answer read as one whose objects are deleted
        _GONE: "false",
    }
    if backend.secrets_provider == "passphrase":
        environment |= _passphrase(backend)
    return environment


def _passphrase(backend: Backend) -> dict[str, str]:
    """The user's passphrase; for a state on this machine, one that lies beside it, readable by its owner only."""
    for name in (secret_variables.PASSPHRASE, "PULUMI_CONFIG_PASSPHRASE_FILE"):
        given = secret_variables.value(name)
        if given is not None:
            return {name: os.fsdecode(given)}
    if not backend.is_local:
        raise UsageError(
            "the state's secrets are locked by a passphrase, and none is given",
            why=f"the state is shared ({backend.url}), so meshctl can't make one up",
            hint="set PULUMI_CONFIG_PASSPHRASE (or …_FILE), or name a key service under state.secrets",
        )
    file = backend.folder / ".meshctl" / "passphrase"
    if not file.exists():
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w") as stream:
                stream.write(secrets.token_urlsafe(32))
        except OSError:
            file.unlink()  # an empty passphrase would be taken for one
            raise
    return {"PULUMI_CONFIG_PASSPHRASE_FILE": str(file)}


def _write_if_changed(path: Path, text: str) -> None:
    if not path.exists() or path.read_text() != text:
        atomic_write.write(path, text)
