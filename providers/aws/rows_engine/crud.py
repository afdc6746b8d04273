"""The one executor of rows: create, read, update, delete. Called by providers.aws.provider; calls `live` and `adopt`.
EDGE.

A create survives a lost answer and an interrupted run: see `Adopt` in `row`. What exists but isn't ready, or isn't
fully set up, is raised as `CreatedNotReady`; the engine keeps it and calls `update` at the next `up`, which goes on
from there.
"""

# ruff: noqa: A001, A002 (`id` is the protocol's word)

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import replace
from typing import Any

from meshwire.marks import UNFINISHED
from providers.aws.rows_engine import adopt, one_way, placeholders, shared
from providers.aws.rows_engine.bounded import with_live_numbers
from providers.aws.rows_engine.calls import CALL_ERRORS, Caller, Clients, call_error, matches, may_have_happened
from providers.aws.rows_engine.compare import given_tags, merged, same
from providers.aws.rows_engine.diffs import changed_inputs, is_broken
from providers.aws.rows_engine.live import EXISTS, NOT_IMPLEMENTED, Live, find, owner_of, tag_list
from providers.aws.rows_engine.row import SEPARATOR, Call, Hook, Row, Setting
from providers.aws.rows_engine.running import RunningUpdates, is_reading
from providers.aws.rows_engine.shapes import described, with_unknown
from providers.plugin.provider import Created, CreatedNotReady, Found, Host, ProviderError
from providers.plugin.values import UNKNOWN, Properties

CREATE_TRIES = 6
LOOKS, LOOK_PAUSE_S = 3, 2.0  # what a killed run made a moment ago may not be listed yet


class Crud:
    """One operation on one resource. Made anew for each; holds nothing between operations."""

    def __init__(
        self, row: Row, clients: Clients, *, urn: str, host: Host, cancelled: threading.Event, timeout_s: float = 0
    ) -> None:
        self.row = row
        self.urn = urn
        self.host = host
        deadline = time.monotonic() + timeout_s if timeout_s else None
        self.caller = Caller(clients, cancelled, self._say, deadline)
        self.live = Live(row, clients, owner=owner_of(urn), caller=self.caller, say=self._say, deadline=deadline)
        self.running = RunningUpdates(self.live)

    def _say(self, message: str) -> None:
        self.host.status(self.urn, message)

    # ---- previews: no call, no credentials -------------------------------------------------------------------------

    def preview_create(self, inputs: Properties) -> Properties:
        """The inputs, and as unknown every output that only the API can fill in, also inside structures that the inputs
        give in part.
        """
        shape = described(self.live.model, self.row.read.operation, self.row.read.path)
        outputs = with_unknown(shape, inputs)
        names = [*outputs, *self.row.computed]
        return {name: outputs.get(name, UNKNOWN) for name in names if name in inputs or name not in self.row.noise}

    def preview_update(self, old_inputs: Properties, old_outputs: Properties, news: Properties) -> Properties:
        """The old outputs with the new inputs. Unknown is only what the API itself changes with such an update."""
        changed = changed_inputs(self.row, old_inputs, old_outputs, news)
        outputs = {key: value for key, value in old_outputs.items() if key in news or key not in old_inputs}
        outputs.pop(UNFINISHED, None)
        outputs = merged(outputs, news)
        if set(changed) - {"Tags"}:
            outputs |= dict.fromkeys(self.row.volatile, UNKNOWN)
        return outputs

    # ---- create ----------------------------------------------------------------------------------------------------

    def create(self, inputs: Properties) -> Created:
        """Creates, or adopts what an interrupted run of the same resource left behind; then settings, then readiness.

        Raises:
            ProviderError: nothing was created.
            CreatedNotReady: it exists, but isn't ready or set up.
        """
        context = self.live.context("", inputs)
        existing_id = adopt.ours(self.live, context) if self.row.adopt.first else None
        if existing_id is not None and shared.is_common(self.row, inputs):
            return self._use_found(existing_id, inputs)
        if existing_id is None:
            existing_id, context = self._create(context)
        if existing_id is not None:
            return self._take_over(self._completed(existing_id, context), inputs)
        id = adopt.id_of(self.live, context)
        context |= {"id": id, "parts": id.split(SEPARATOR)}
        settings = [setting for setting in self.row.settings if setting.on_create and _given(setting, inputs)]
        untagged = self.row.tags is not None and not self.row.tags.create
        return Created(id, self._finish(context, settings, retag=untagged))

    def _create(self, context: dict[str, Any]) -> tuple[str | None, dict[str, Any]]:
        """Make the create call. Returns (id, context): the id of an object that exists already, or None and the answer
        in the context.

        When the answer was lost, the object is looked for before the call is made again.
        """
        for attempt in range(CREATE_TRIES):
            try:
                return None, context | {"answer": self.live.run(self._tagged_create(), context, retries=False)}
            except ProviderError as error:
                if matches(error, self.row.adopt.taken):
                    raise adopt.conflict(self.live, context, error.code) from error
                if matches(error, self.row.adopt.exists):
                    return self._existing(context, error), context
                if attempt == CREATE_TRIES - 1 or not may_have_happened(error):
                    raise
            self.caller.pause(min(0.5 * 2**attempt, 8), self.row.create.operation)
            existing_id = adopt.ours(self.live, context) if self.row.adopt.by != "upsert" else None
            if existing_id is not None:
                return existing_id, context
        raise AssertionError("the last try returns or raises")

    def _tagged_create(self) -> Call:
        tags = self.row.tags.create if self.row.tags is not None else {}
        return replace(self.row.create, params={**self.row.create.params, **tags}) if tags else self.row.create

    def _existing(self, context: dict[str, Any], error: ProviderError) -> str:
        """The id of the object that has the name already, if it is ours. Raises: ProviderError, when it is not."""
        existing_id = adopt.ours(self.live, context)
        if existing_id is None:
            raise adopt.conflict(self.live, context, error.code) from error
        return existing_id

    def _completed(self, id: str, context: dict[str, Any]) -> str:
        """The id of an object that consists of several parts, after the missing parts have been made."""
        if self.row.adopt.complete is None:
            return id
        partial = self.live.context(id, context["inputs"])
        partial["outputs"] = self.live.describe(partial) or {}
        self._run_hook(self.row.adopt.complete, partial, f"completing {self.live.noun} {id}")
        return adopt.ours(self.live, context) or id

    def _use_found(self, id: str, inputs: Properties) -> Created:
        """Use an object as whoever made it has it."""
        self._say(f"found {id}, which may be somebody else's; it is used as it is, and stays")
        context = self.live.context(id, inputs)
        return Created(id, shared.marked(self.row, inputs, self._outputs(context, self._ready(context))))

    def _take_over(self, id: str, inputs: Properties) -> Created:
        """Go on with an object that exists: change what differs from the inputs, then wait until it is ready.

        Raises: ProviderError (Conflict) when an input differs that can't be changed.
        """
        self._say(f"found {id}, made by an earlier run; going on with it")
        context = self.live.context(id, inputs)
        description = self.live.describe(context)
        if description is None:
            raise ProviderError("NotFound", f"{id} was there and is gone; try again")
        context["outputs"] = description
        now = {name: self.live.observe(name, description, value) for name, value in inputs.items()}
        inputs = context["inputs"] = one_way.as_far(self.row, with_live_numbers(self.row, inputs, now), now)
        differing = {name for name in inputs if not same(now[name], inputs[name]) and name not in self.row.opaque}
        fixed = sorted(differing - self.row.changeable)
        if fixed and not is_broken(self.row, description):
            reason = f"{id}, made by an earlier run, differs in {', '.join(fixed)}: delete it"
            raise ProviderError("Conflict", reason)
        seen = {*description, *self.row.observe}
        needed = [
            setting
            for setting in self.row.settings
            if _given(setting, inputs)
            and any(name in differing or (setting.on_create and name not in seen) for name in setting.inputs)
        ]
        tags = self.live.tags(context, description)
        retag = any(tags.get(key) != value for key, value in context["tags"].items())
        return Created(id, self._finish(context, needed, retag=retag))

    def _finish(self, context: dict[str, Any], settings: list[Setting], *, retag: bool) -> Properties:
        """Settings, tags and readiness of an object that exists. A failure is CreatedNotReady: the state keeps it."""
        try:
            if self.row.created is not None and context["answer"]:
                self.live.poll(self.row.created, context)
            if settings or retag:  # without any, the wait at the end is enough
                context["outputs"] = self._ready(context)
            if retag:
                self._retag(context, {})
            for setting in settings:
                self._apply(setting, context)
            return self._outputs(context, self._effective(context))
        except ProviderError as error:
            raise self._not_ready(context, error) from error

    def _ready(self, context: dict[str, Any], *, counted: bool = True) -> Properties:
        description: Properties = self.live.poll(self.row.ready or EXISTS, context, counted=counted)
        return description

    def _description_at_rest(self, context: dict[str, Any]) -> Properties:
        """The description once nothing of it is in motion. A change may well mend what failed: a group that could not
        grow is made smaller, one whose machines are gone is emptied, an add-on gets settings with which it runs."""
        try:
            return dict(self.live.poll(self.row.ready or EXISTS, context, at_rest=True))
        except ProviderError:
            description: Properties | None = self.live.describe(context)
            poll = self.row.ready
            if poll is None or description is None or find(poll.state, description) not in poll.fail:
                raise
            return description

    def _effective(self, context: dict[str, Any], *, settles: bool = True, counted: bool = True) -> Properties:
        description = self._ready(context, counted=counted)
        if self.row.settle_s and settles:
            self.caller.pause(self.row.settle_s, f"{self.live.noun} {context['id']}")
        return description

    def _not_ready(self, context: dict[str, Any], error: ProviderError) -> CreatedNotReady:
        try:
            description = self.live.describe(context)
        except ProviderError:
            description = None
        outputs = self._outputs(context, description or context["outputs"])
        return CreatedNotReady(id=context["id"], outputs=outputs | {UNFINISHED: True}, reasons=[str(error)])

    def _outputs(self, context: dict[str, Any], description: Properties) -> Properties:
        outputs = {key: value for key, value in description.items() if key not in self.row.noise}
        if self.row.tags is not None:
            outputs.pop(self.row.tags.path, None)
        return merged(outputs, context["inputs"])

    # ---- settings and tags -----------------------------------------------------------------------------------------

    def _apply(self, setting: Setting, context: dict[str, Any]) -> None:
        calls = setting.puts if _given(setting, context["inputs"]) else (setting.clear,)
        try:
            answer: Any = {}
            for call in calls:
                if call is None:
                    continue
                result = self.running.after_others(call, context | {"answer": answer})
                answer = result or answer
                if setting.wait is not None and result and not is_reading(call):
                    self.live.poll(setting.wait, context | {"answer": answer})
        except ProviderError as error:
            if not setting.optional or not matches(error, NOT_IMPLEMENTED):
                raise
            self.host.warn(self.urn, f"{setting.inputs[0]} isn't supported here and was left out: {error}")

    def _retag(self, context: dict[str, Any], old: dict[str, str]) -> None:
        tags = self.row.tags
        if tags is None or tags.put is None:
            return
        wanted: dict[str, str] = context["tags"]
        gone = sorted(set(old) - set(wanted))
        extra = {"put_tags": wanted, "put_tag_list": tag_list(wanted), "gone_tag_keys": gone}
        try:
            self.live.run(tags.put, context | extra)
            if gone and tags.remove is not None:
                self.live.run(tags.remove, context | extra)
        except ProviderError as error:
            if not tags.optional or not matches(error, NOT_IMPLEMENTED):
                raise

    # ---- read, update, delete --------------------------------------------------------------------------------------

    def read(self, id: str, inputs: Properties, outputs: Properties) -> Found:
        """The object now and the inputs that would make it so. `Found.id` is empty only if the API says "not found".

        A placeholder's id stands for a create that was interrupted: what is read is the object that it made, if any.
        """
        begun = placeholders.is_placeholder(id)
        if begun:
            id = self._looked_for(inputs, placeholders.other_ids(id))
            if not id:
                return Found("")
        context = self.live.context(id, inputs)
        description = self._description_when_settled(context) if begun else self.live.describe(context)
        if description is None:
            return Found("")
        context["outputs"] = description
        live = self.live
        now = live.inputs_now(context, description) if inputs else live.inputs_of_import(context, description)
        now = one_way.declared(self.row, now, inputs)
        # whether the create that was cut off made this object or found it can't be told any more
        mark = shared.marked(self.row, inputs, {}) if begun else shared.mark_of(outputs)
        now = shared.as_declared(self.row, now, inputs) if mark else now
        outputs_now = self._outputs(context | {"inputs": now}, description) | mark
        if not inputs and self.row.tags is not None:  # an import compares them with the program's
            outputs_now["Tags"] = given_tags(live.tags(context, description))
        # its settings and readiness are the next `update`'s, and so is the end of an update that runs or of a growth
        moves = self.running.is_running(description) or live.is_growing(description, outputs)
        if outputs.get(UNFINISHED) or begun or moves:
            outputs_now[UNFINISHED] = True
        return Found(id, outputs_now, now)

    def _looked_for(self, inputs: Properties, other_ids: frozenset[str]) -> str:
        """The id of the object that an unanswered create made; empty where it made none. `other_ids` are not meant."""
        for look in range(LOOKS):
            if look:
                self.caller.pause(LOOK_PAUSE_S, self.row.create.operation)
            id = self._begun(inputs, other_ids)
            if id:
                return id
        return ""

    def _begun(self, inputs: Properties, other_ids: frozenset[str]) -> str:
        context = self.live.context("", inputs)
        if self.row.adopt.by == "upsert":
            id = adopt.id_of(self.live, context)
            return "" if id in other_ids else id
        try:
            return adopt.ours(self.live, context, other_ids) or ""
        except ProviderError as error:
            if matches(error, adopt.CONFLICTS) or matches(error, self.row.adopt.exists + self.row.adopt.taken):
                return ""  # what is there is someone else's: this create can't have made it
            raise

    def _description_when_settled(self, context: dict[str, Any]) -> Any:
        """The description after the object's creation, which goes on without us, has succeeded or failed."""
        with contextlib.suppress(ProviderError):
            self.live.poll(self.row.ready or EXISTS, context)
        return self.live.describe(context)

    def update(self, id: str, old_inputs: Properties, old_outputs: Properties, news: Properties) -> Properties:
        """Applies the settings whose inputs differ, or all of them when the last run did not finish.

        Raises: ProviderError, also for a placeholder.
        """
        placeholders.refuse(id, self.row)
        before = self._as_it_is(id, news)
        now = {name: self.live.observe(name, before, news.get(name)) for name in news} if before else {}
        old_inputs, news = (one_way.as_far(self.row, inputs, now) for inputs in (old_inputs, news))
        changed = set(changed_inputs(self.row, old_inputs, old_outputs, news))
        news = with_live_numbers(self.row, news, now)
        context = self.live.context(id, news) | {"old_inputs": old_inputs, "outputs": old_outputs}
        unfinished = bool(old_outputs.get(UNFINISHED))
        context["before"] = {} if unfinished else before
        needed = [
            setting
            for setting in self.row.settings
            if changed & set(setting.inputs) or (unfinished and setting.on_create)
        ]
        try:
            if unfinished:  # still as the last run left it
                context["outputs"] = self._description_at_rest(context | {"inputs": old_inputs})
            if "Tags" in changed or unfinished:
                self._retag(context, old_inputs.get("Tags") or {})
            for setting in needed:
                self._apply(setting, context)
            counted = unfinished or self.live.needs_more(context["inputs"], old_inputs, now)
            description = self._effective(context, settles=bool(needed) or unfinished, counted=counted)
            return self._outputs(context, description) | shared.mark_of(old_outputs)
        except ProviderError as error:
            if not unfinished:
                raise
            raise self._not_ready(context, error) from error

    def _as_it_is(self, id: str, news: Properties) -> Properties:
        """The description, for rows of which others change some inputs (an autoscaler the desired size).

        The state may be older than such a change, so the API is asked just before the update.
        """
        if not self.row.bounded and not self.row.one_way:
            return {}
        return self.live.describe(self.live.context(id, news)) or {}  # the update itself says that it is gone

    def delete(self, id: str, inputs: Properties, outputs: Properties) -> None:
        """Deletes the object and waits until it is gone. One that is gone already is no error; a placeholder always is.
        What was there before stays.

        Raises: ProviderError, also for a placeholder.
        """
        placeholders.refuse(id, self.row)
        if shared.mark_of(outputs):
            return
        context = self.live.context(id, inputs) | {"outputs": outputs}
        try:
            for step in self.row.before_delete:
                self._before(step, context)
            if self.row.delete_reads:
                context["answer"] = self.live.describe(context)
            if context["answer"] is None:
                return
            self.live.run(self.row.delete, context)
        except ProviderError as error:
            if not matches(error, self.row.not_found):
                raise
        if self.row.gone is not None:
            self.live.poll(self.row.gone, context, gone=True)

    def _before(self, step: Any, context: dict[str, Any]) -> None:
        if isinstance(step, Call):
            self.live.run(step, context)
            return
        self._run_hook(step, context, f"before {self.row.delete.operation}")

    def _run_hook(self, hook: Hook, context: dict[str, Any], what: str) -> None:
        try:
            hook(self.live.clients.client(self.row.service), context)
        except CALL_ERRORS as error:
            raise call_error(error, what) from error


def _given(setting: Setting, inputs: Properties) -> bool:
    return any(inputs.get(name) is not None for name in setting.inputs)
