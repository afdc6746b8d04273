"""The operations of the `kubernetes` package. Called by `providers.plugin.serve`; calls `apply`, `waiting` and the pure
modules.
"""

# ruff: noqa: A002, ARG002 (`id` is the protocol's word; the base's signatures)

from __future__ import annotations

import functools
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import yaml

from meshwire import versions
from meshwire.marks import FIELD_MANAGER
from providers.kubernetes import checking, config, diffing, objects
from providers.kubernetes.config import Settings
from providers.kubernetes.objects import Gvk, Json
from providers.kubernetes.redaction import Redaction
from providers.kubernetes.scopes import Scopes
from providers.kubernetes.session import UNKNOWN_CLUSTER, Opening, Session, load_libraries
from providers.kubernetes.waits import grace, readiness
from providers.plugin.provider import CheckFailure, Created, CreatedNotReady, Diff, Found, Provider, ProviderError
from providers.plugin.values import Properties, contains_unknown

if TYPE_CHECKING:
    from providers.kubernetes.waits.waiting import Outcome

UNREACHABLE_HINT: Final = (
    "If the cluster is gone for good, set PULUMI_K8S_DELETE_UNREACHABLE=true to drop its objects from the state"
)


class KubernetesProvider(Provider):
    """See `providers.plugin.provider.Provider` for the methods' contract."""

    name = "kubernetes"
    version = versions.KUBERNETES_PLUGIN

    def __init__(self) -> None:
        super().__init__()
        self._cluster = Opening(Settings(), self.cancelled)
        self._scopes = Scopes()
        self._warned: set[str] = set()
        self._redacted = Redaction()

    # Configuration

    def check_config(self, news: Properties) -> tuple[Properties, list[CheckFailure]]:
        if config.settings(news).kubeconfig is None:
            self._warn_once("", UNKNOWN_CLUSTER)
        return news, config.check(news)

    def diff_config(self, *, olds: Properties, news: Properties) -> Diff:
        return config.diff(olds=olds, news=news)

    def configure(self, config_: Properties) -> None:
        self._cluster = Opening(config.settings(config_), self.cancelled)
        threading.Thread(target=load_libraries, daemon=True).start()

    def _warn_once(self, urn: str, message: str) -> None:
        if message not in self._warned:
            self._warned.add(message)
            self.host.warn(urn, message)

    def close(self) -> None:
        self._cluster.close()

    # Check and diff

    def check(
        self, token: str, *, urn: str, news: Properties, olds: Properties
    ) -> tuple[Properties, list[CheckFailure]]:
        inputs = objects.normalise(news)
        gvk = objects.gvk_of(token, inputs)
        if objects.is_crd(inputs):
            self._scopes.remember(inputs)
        if gvk.kind == "Secret":
            self._redacted.learn(inputs)
        namespaced = not objects.namespace_of(inputs) and self._scopes.is_namespaced(gvk, olds, self._cluster)
        checked_inputs, failures = checking.checked(
            urn=urn,
            inputs=inputs,
            olds=olds,
            namespaced=namespaced,
            default_namespace=self._cluster.namespace if namespaced else "",
            patch=objects.is_patch(token, inputs),
        )
        return objects.marked(checked_inputs), failures

    def diff(
        self,
        token: str,
        *,
        urn: str,
        id: str,
        old_inputs: Properties,
        old_outputs: Properties,
        news: Properties,
        ignore_changes: Sequence[str],
    ) -> Diff:
        old = objects.normalise(old_inputs or old_outputs.get("__inputs") or {})
        new = objects.normalise(news)
        return diffing.diff(
            old=old,
            new=new,
            mutable_config_maps=self._cluster.settings.mutable_config_maps,
            mutable_secrets=self._cluster.settings.mutable_secrets,
            unready=self._must_be_replaced(objects.gvk_of(token, new), new, id),
        )

    def _must_be_replaced(self, gvk: Gvk, new: Json, id: str) -> bool:
        """A Job that failed can't be repaired by an update; the annotation asks for a new one."""
        if gvk.kind != "Job" or not objects.is_true(new, objects.REPLACE_UNREADY):
            return False
        try:
            live = self._cluster.session().api.get(gvk, *objects.split_id(id))
        except ProviderError:
            return False
        return not readiness.job(live).ready

    # Create and update

    def create(self, token: str, *, urn: str, inputs: Properties, timeout_s: float, preview: bool) -> Created:
        declared = objects.normalise(inputs)
        gvk = objects.gvk_of(token, declared)
        manager = self._manager(urn, declared, {})
        patch = objects.is_patch(token, declared)
        if preview:
            live = self._previewed(
                declared, patch=patch, urn=urn, call=functools.partial(_dry_create, gvk, declared, manager)
            )
            return Created("", inputs if live is None else objects.preview_state(declared, live, manager, {}))
        from providers.kubernetes import apply, deleting

        session = self._cluster.session()
        status = functools.partial(self.host.status, urn)
        try:
            made = apply.create(
                session.api,
                gvk,
                declared,
                manager=manager,
                patch=patch,
                server_side=self._cluster.settings.server_side_apply,
                cancelled=self.cancelled,
                until_predecessor_gone=lambda: deleting.until_predecessor_gone(session, gvk, declared, status=status),
            )
        except ProviderError as error:
            what = f'resource "{urn}" was not successfully created by the Kubernetes API server'
            raise _because(error, what) from error
        outputs = self._outcome_of_wait(
            gvk, declared, made, urn=urn, manager=manager, olds={}, timeout_s=timeout_s, new=True
        )
        return Created(objects.object_id(made), outputs)

    def update(
        self,
        token: str,
        *,
        urn: str,
        id: str,
        old_inputs: Properties,
        old_outputs: Properties,
        news: Properties,
        timeout_s: float,
        preview: bool,
        ignore_changes: Sequence[str],
    ) -> Properties:
        if not preview:
            _refuse_placeholder(id, old_outputs)
        declared = objects.normalise(news)
        gvk = objects.gvk_of(token, declared)
        manager = self._manager(urn, declared, old_outputs)
        patch = objects.is_patch(token, declared)
        old = objects.normalise(old_inputs or old_outputs.get("__inputs") or {})
        change = functools.partial(self._changed, gvk, old, declared, manager=manager, patch=patch)
        try:
            if preview:
                call = functools.partial(change, dry_run=True)
                live = self._previewed(declared, patch=patch, urn=urn, call=call)
                return news if live is None else objects.preview_state(declared, live, manager, old_outputs)
            live = change(self._cluster.session(), dry_run=False)
        except ProviderError as error:
            what = f'the Kubernetes API server reported that "{id}" failed to fully initialize or become live'
            raise _because(error, what) from error
        return self._outcome_of_wait(
            gvk, declared, live, urn=urn, manager=manager, olds=old_outputs, timeout_s=timeout_s, new=False
        )

    def _changed(
        self, gvk: Gvk, old: Json, declared: Json, session: Session, *, manager: str, patch: bool, dry_run: bool
    ) -> Json:
        """The object after the change. One that somebody deleted meanwhile is made again."""
        from providers.kubernetes import apply
        from providers.kubernetes.connection import ApiError

        api = session.api
        try:
            live = api.get(gvk, objects.namespace_of(declared), objects.name_of(declared))
        except ApiError as error:
            if error.status != 404 or patch:
                raise
            return api.create(gvk, declared, manager=manager, dry_run=dry_run)
        if self._cluster.settings.server_side_apply or patch or objects.is_crd(declared):
            declared = apply.with_live_flavor(declared, live)
            if dry_run:
                return apply.preview_apply(api, gvk, old, declared, live, manager=manager)
            return apply.apply(api, gvk, declared, live, manager=manager)
        return apply.merge(api, gvk, old, declared, dry_run=dry_run)

    def _manager(self, urn: str, inputs: Json, outputs: Properties) -> str:
        applies = self._cluster.settings.server_side_apply
        return objects.field_manager(urn, inputs, outputs) if applies else FIELD_MANAGER

    def _previewed(self, declared: Json, *, patch: bool, urn: str, call: Any) -> Json | None:
        """The server's dry run; None where there can't be one, which leaves the inputs as all that is known."""
        if contains_unknown(declared) or patch:
            return None
        if self._cluster.is_unknown:
            self._warn_once("", UNKNOWN_CLUSTER)
            return None
        from providers.kubernetes.api import NoMatchError
        from providers.kubernetes.connection import UnreachableError

        try:
            previewed: Json | None = call(self._cluster.session())
        except NoMatchError:
            return None
        except UnreachableError as error:
            self._warn_once(urn, f"previewed without its API server: {error}")
            return None
        return previewed

    def _outcome_of_wait(
        self,
        gvk: Gvk,
        declared: Json,
        live: Json,
        *,
        urn: str,
        manager: str,
        olds: Properties,
        timeout_s: float,
        new: bool,
    ) -> Json:
        """The state after waiting until `live` is ready.

        Raises:
            CreatedNotReady: it isn't; the state is kept and the next run waits again.
        """
        outcome = self._wait(gvk, declared, live, urn=urn, timeout_s=timeout_s)
        outputs = objects.state(declared, outcome.live or live, manager, olds)
        if outcome.reasons:
            raise CreatedNotReady(id=objects.object_id(live), outputs=outputs, reasons=outcome.reasons)
        return outputs

    def _wait(self, gvk: Gvk, declared: Json, live: Json, *, urn: str, timeout_s: float) -> Outcome:
        from providers.kubernetes.waits.waiting import Outcome

        if objects.is_true(declared, objects.SKIP_AWAIT) and not objects.is_crd(declared):
            return Outcome(live)
        outcome = self._cluster.session().waiter.until_ready(
            gvk,
            live,
            timeout_s=readiness.timeout_s(timeout_s, declared, gvk),
            status=lambda text: self.host.status(urn, self._redacted(text)),
        )
        return Outcome(outcome.live, tuple(map(self._redacted, outcome.reasons)))

    # Read and delete

    def read(self, token: str, *, urn: str, id: str, inputs: Properties, outputs: Properties) -> Found:
        declared = objects.normalise(inputs)
        gvk = objects.gvk_of(token, declared or outputs)
        from providers.kubernetes.connection import UnreachableError

        try:
            live = self._live(gvk, id)
        except UnreachableError as error:
            if self._cluster.settings.delete_unreachable:
                return Found("")
            if self._cluster.settings.skip_update_unreachable:
                self._warn_once(urn, f"not refreshed: {error}")
                return Found(id, outputs, inputs)
            raise _because(error, f"failed to read resource state. {UNREACHABLE_HINT}") from error
        if live is None or grace.is_leaving(live) or (objects.is_placeholder(outputs) and not _is_ours(live)):
            return Found("")
        inputs_now = objects.prune(live, declared) if declared else objects.imported_inputs(live)
        manager = self._manager(urn, declared, outputs)
        state = objects.state(inputs_now, live, manager, outputs)
        reasons = self._unready(gvk, declared, live)
        if reasons:
            raise CreatedNotReady(id=id, outputs=state, reasons=reasons, inputs=objects.marked(inputs_now))
        return Found(id, state, objects.marked(inputs_now))

    def _live(self, gvk: Gvk, id: str) -> Json | None:
        """The object; None only when the API server itself says that it, or its kind, isn't there."""
        from providers.kubernetes.api import NoMatchError
        from providers.kubernetes.connection import ApiError

        try:
            return self._cluster.session().api.get(gvk, *objects.split_id(id))
        except NoMatchError:
            return None
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def _unready(self, gvk: Gvk, declared: Json, live: Json) -> list[str]:
        if not declared or objects.is_true(declared, objects.SKIP_AWAIT) or gvk.kind == "CustomResourceDefinition":
            return []
        verdict = self._cluster.session().waiter.verdict(gvk, live)
        what = f"{gvk.kind} {objects.object_id(live)}"
        return [] if verdict.ready else [f"{what}: {verdict.message} [code={verdict.code or 'NotReady'}]"]

    def delete(
        self, token: str, *, urn: str, id: str, inputs: Properties, outputs: Properties, timeout_s: float
    ) -> None:
        _refuse_placeholder(id, outputs)
        declared = objects.normalise(inputs or outputs.get("__inputs") or {})
        gvk = objects.gvk_of(token, declared)
        from providers.kubernetes.connection import UnreachableError

        try:
            live = self._live(gvk, id)
            if live is None:
                return
            if objects.is_patch(token, declared):
                self._release(gvk, id, self._manager(urn, declared, outputs))
                return
            from providers.kubernetes import deleting

            status = functools.partial(self.host.status, urn)
            deleting.delete(self._cluster.session(), gvk, declared, live, timeout_s=timeout_s, status=status)
        except UnreachableError as error:
            if self._cluster.settings.delete_unreachable:
                self._warn_once(urn, f"dropped from the state, not deleted: {error}")
                return
            raise _because(error, f"{id} was not deleted. {UNREACHABLE_HINT}") from error

    def _release(self, gvk: Gvk, id: str, manager: str) -> None:
        from providers.kubernetes import apply

        apply.release(self._cluster.session().api, gvk, *objects.split_id(id), manager=manager)

    # Functions

    def invoke(self, token: str, *, args: Properties) -> Any:
        """`kubernetes:yaml:decode`: the objects of a YAML text, for the SDK's YAML components."""
        if token != "kubernetes:yaml:decode":  # noqa: S105 (a Pulumi token)
            return super().invoke(token, args=args)
        documents = [item for item in yaml.safe_load_all(str(args.get("text", ""))) if item]
        return {"result": documents}


def _refuse_placeholder(id: str, outputs: Properties) -> None:
    """Raises ProviderError: an interrupted run had begun to create it. What has its name may be somebody else's."""
    if objects.is_placeholder(outputs):
        message = f"an interrupted run had begun to create {id}, and whether it exists is not known yet"
        raise ProviderError("Unanswered", message)


def _is_ours(live: Json) -> bool:
    from providers.kubernetes import apply

    return apply.made_by_pulumi(live)


def _dry_create(gvk: Gvk, declared: Json, manager: str, session: Session) -> Json | None:
    from providers.kubernetes import apply

    return apply.preview_create(session.api, gvk, declared, manager=manager)


def _because(error: ProviderError, what: str) -> ProviderError:
    return ProviderError(error.code, f"{what}: {error.message}")
