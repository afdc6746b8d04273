"""The one executor of rows: create, read, update, delete, waits, tags, adoption. Called by providers.aws.provider.
EDGE.

A create survives a lost answer and an interrupted run: see `Adopt` in `row`. What exists but isn't ready, or isn't
fully set up, is
raised as `CreatedNotReady`; the engine keeps it and calls `update` at the next `up`, which goes on from there.
"""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections.abc import Callable
from typing import Any

import jmespath  # type: ignore[import-untyped]

from providers.base.calls import THROTTLED, UNREACHABLE, Caller, Clients, call_error, evaluate, matches, search
from providers.base.checks import input_names
from providers.base.compare import merged, observed, observed_tags, same, tag_map
from providers.base.diffs import UNFINISHED, changed_inputs, is_broken
from providers.base.provider import Created, CreatedNotReady, Found, Host, ProviderError
from providers.base.row import OWNER_TAG, SEPARATOR, Call, Poll, Row, Setting
from providers.base.shapes import described
from providers.base.values import UNKNOWN, Properties

FIRST_POLL_S = 0.2
NOT_IMPLEMENTED = ("NotImplemented", "MethodNotAllowed", "XNotImplemented", "501", "UnsupportedOperation")
UNCERTAIN = ("InternalError", "InternalFailure", "ServiceUnavailable", "ServiceUnavailableException", "Unavailable")
CREATE_TRIES = 6


def owner_of(urn: str) -> str:
    """The owner tag's value: the URN in the letters that every service takes, at most 256 of them."""
    text = re.sub(r"[^\w.:/=+\-@ ]", "/", urn, flags=re.ASCII)
    if len(text) <= 256:
        return text
    return f"{text[:215]}-{hashlib.sha256(urn.encode()).hexdigest()[:40]}"


class Crud:
    """One operation on one resource. Made anew for each; holds nothing between operations."""

    def __init__(
        self, row: Row, clients: Clients, *, urn: str, host: Host, cancelled: threading.Event, timeout_s: float = 0
    ) -> None:
        self.row = row
        self.clients = clients
        self.model = clients.model(row.service)
        self.urn = urn
        self.owner = owner_of(urn)
        self.host = host
        self.deadline = time.monotonic() + timeout_s if timeout_s else None
        self.caller = Caller(clients, cancelled, self._say)

    def _say(self, message: str) -> None:
        self.host.status(self.urn, message)

    # ---- previews: no call, no credentials -------------------------------------------------------------------------

    def preview_create(self, inputs: Properties) -> Properties:
        """The inputs, and every output that the API will tell as unknown."""
        shape = described(self.model, self.row.read.operation, self.row.read.path)
        names = [*(shape.members if shape is not None and shape.type_name == "structure" else ()), *self.row.computed]
        return {name: UNKNOWN for name in names if name not in self.row.noise} | inputs

    def preview_update(self, old_inputs: Properties, old_outputs: Properties, news: Properties) -> Properties:
        changed = changed_inputs(self.row, old_inputs, old_outputs, news)
        outputs = {key: value for key, value in old_outputs.items() if key in news or key not in old_inputs}
        outputs |= news
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
        context = self._context("", inputs)
        found = self._ours(context) if self.row.adopt.first else None
        if found is None:
            found, context = self._create(context)
        if found is not None:
            return self._take_over(found, inputs)
        id = self._id(context)  # noqa: A001
        context |= {"id": id, "parts": id.split(SEPARATOR)}
        return Created(id, self._finish(context, self._settings_of_create(inputs)))

    def _create(self, context: dict[str, Any]) -> tuple[str | None, dict[str, Any]]:
        """The create call. A lost answer is looked for before the call is made again: (id of the object found,
        context).
        """
        for attempt in range(CREATE_TRIES):
            try:
                answer = self._run(self._tagged_create(), context, retries=False)
                return None, context | {"answer": answer}
            except ProviderError as error:
                last = attempt == CREATE_TRIES - 1
                if matches(error, self.row.adopt.taken):
                    raise self._conflict(context, error.code) from error
                if matches(error, self.row.adopt.exists):
                    return self._existing(context, error), context
                uncertain = error.code == UNREACHABLE or matches(error, UNCERTAIN)
                if last or not (uncertain or error.code in THROTTLED) or self._never_sent(error):
                    raise
            self.caller.pause(min(0.5 * 2**attempt, 8), self.row.create.operation)
            found = self._ours(context) if self.row.adopt.by != "upsert" else None
            if found is not None:
                return found, context
        raise AssertionError("the last try returns or raises")

    @staticmethod
    def _never_sent(error: ProviderError) -> bool:
        """Whether nothing listens at the endpoint: the next try would find the same."""
        return error.code == UNREACHABLE and "Could not connect" in error.message

    def _tagged_create(self) -> Call:
        call = self.row.create
        if self.row.tags is None or not self.row.tags.create:
            return call
        params = {**call.params, **self.row.tags.create}
        return Call(**{**vars(call), "params": params})

    def _id(self, context: dict[str, Any]) -> str:
        id = search(self.row.id, context)  # noqa: A001
        if not isinstance(id, str) or not id:
            raise ProviderError("NoId", f"{self.row.create.operation}: the answer names no {self.row.id}")
        return id

    # ---- adoption --------------------------------------------------------------------------------------------------

    def _existing(self, context: dict[str, Any], error: ProviderError) -> str:
        """The id of the object whose name is taken, if it's ours."""
        found = self._ours(context)
        if found is None:
            raise self._conflict(context, error.code) from error
        return found

    def _ours(self, context: dict[str, Any]) -> str | None:
        adopt = self.row.adopt
        if adopt.find is not None:
            try:
                candidates = self._run(adopt.find, context)
            except ProviderError as error:
                if matches(error, adopt.taken):
                    raise self._conflict(context, error.code) from error
                if matches(error, self.row.not_found):
                    return None
                raise
        else:
            id = self._id(context)  # noqa: A001
            candidates = self._describe(context | {"id": id, "parts": id.split(SEPARATOR)})
        for candidate in candidates if isinstance(candidates, list) else [candidates]:
            if candidate is None or self._is_gone(candidate):
                continue
            id = search(adopt.id, {**context, **candidate}) if adopt.id else self._id(context)  # noqa: A001
            if self._owned(context | {"id": id, "parts": id.split(SEPARATOR), "outputs": candidate}, candidate):
                return str(id)
        return None

    def _owned(self, context: dict[str, Any], candidate: Properties) -> bool:
        """By "tag" others' objects are passed by; by "name" and "same" someone else's object is a conflict."""
        adopt = self.row.adopt
        if adopt.by == "same":
            if self._equal(context, candidate):
                return True
            raise self._conflict(context, "AlreadyExists")
        tags = self._tags_of(context, candidate)
        if tags.get(OWNER_TAG) == self.owner:
            return True
        if adopt.by == "tag":
            return False
        if adopt.proof is not None and OWNER_TAG not in tags:
            client = self.clients.client(self.row.service)
            if self._proven(adopt.proof, client, context | {"tags": tags}):
                return True
        raise self._conflict(context, (adopt.exists or ("AlreadyExists",))[0], tags.get(OWNER_TAG, ""))

    def _proven(self, proof: Callable[[Any, Any], bool], client: Any, context: dict[str, Any]) -> bool:
        try:
            return proof(client, context)
        except Exception as error:
            raise call_error(error, f"looking at {context['id']}") from error

    def _equal(self, context: dict[str, Any], candidate: Properties) -> bool:
        inputs = context["inputs"]
        return all(
            same(self._observe(name, candidate, value), value)
            for name, value in inputs.items()
            if name not in self.row.opaque and name != "Tags"
        )

    def _conflict(self, context: dict[str, Any], code: str, owner: str = "") -> ProviderError:
        noun = self.row.token.rsplit(":", 1)[-1]
        name = context.get("id") or self._name(context["inputs"])
        whose = f"it belongs to {owner}" if owner else f"it carries no {OWNER_TAG} tag of this resource"
        return ProviderError(code, f"{noun} {name} exists already and {whose}; import it, or choose another name")

    @staticmethod
    def _name(inputs: Properties) -> str:
        names = [value for key, value in inputs.items() if key.lower().endswith("name") or key in ("Bucket", "Url")]
        return str(names[0]) if names else "with these inputs"

    def _take_over(self, id: str, inputs: Properties) -> Created:  # noqa: A002
        """Goes on with an object that exists: brings it in line, waits. What can't be changed is a conflict."""
        self._say(f"found {id}, left behind by an interrupted run; going on with it")
        context = self._context(id, inputs)
        description = self._describe(context)
        if description is None:
            raise ProviderError("NotFound", f"{id} was there and is gone; try again")
        context["outputs"] = description
        now = {name: self._observe(name, description, value) for name, value in inputs.items()}
        fixed = [
            n
            for n in inputs
            if n not in self.row.changeable and n not in self.row.opaque and not same(now[n], inputs[n])
        ]
        if fixed and not is_broken(self.row, description):
            raise ProviderError(
                "Conflict", f"{id}, left behind by an interrupted run, differs in {', '.join(fixed)}: delete it"
            )
        settings = [s for s in self.row.settings if any(inputs.get(name) is not None for name in s.inputs)]
        needed = [s for s in settings if any(self._differs(s, n, now, inputs, description) for n in s.inputs)]
        return Created(id, self._finish(context, needed, retag=True))

    def _differs(
        self, setting: Setting, name: str, now: Properties, inputs: Properties, description: Properties
    ) -> bool:
        seen = name in description or name in self.row.observe
        return not same(now.get(name), inputs.get(name)) or (setting.on_create and not seen)

    # ---- settings, readiness, outputs ------------------------------------------------------------------------------

    def _settings_of_create(self, inputs: Properties) -> list[Setting]:
        return [s for s in self.row.settings if s.on_create and any(inputs.get(name) is not None for name in s.inputs)]

    def _finish(self, context: dict[str, Any], settings: list[Setting], *, retag: bool = False) -> Properties:
        """All that comes after the object exists; any failure here keeps the object in the state."""
        try:
            if self.row.created is not None and context["answer"]:
                self._poll(self.row.created, context)
            if self.row.tags and (retag or not self.row.tags.create):
                self._retag(context, {})
            if settings:  # without any, the wait at the end is enough
                self._await_ready(context)
                context["outputs"] = self._describe(context) or {}
            for setting in settings:
                self._apply(setting, context)
            self._await_ready(context)
            return self._outputs(context)
        except CreatedNotReady:
            raise
        except ProviderError as error:
            raise self._not_ready(context, error) from error

    def _not_ready(self, context: dict[str, Any], error: ProviderError) -> CreatedNotReady:
        try:
            outputs = self._outputs(context)
        except ProviderError:
            outputs = {**context["outputs"], **context["inputs"]}
        return CreatedNotReady(id=context["id"], outputs=outputs | {UNFINISHED: True}, reasons=[str(error)])

    def _apply(self, setting: Setting, context: dict[str, Any]) -> None:
        inputs = context["inputs"]
        given = any(inputs.get(name) is not None for name in setting.inputs)
        if not given and setting.clear is None:
            return
        calls = setting.puts if given else (setting.clear,)
        try:
            answer: Any = {}
            for call in calls:
                if call is not None:
                    answer = self._run(call, context | {"answer": answer})
            if setting.wait is not None:
                self._poll(setting.wait, context | {"answer": answer})
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
            self._run(tags.put, context | extra)
            if gone and tags.remove is not None:
                self._run(tags.remove, context | extra)
        except ProviderError as error:
            if not tags.optional or not matches(error, NOT_IMPLEMENTED):
                raise

    def _await_ready(self, context: dict[str, Any]) -> None:
        if self.row.ready is not None:
            self._poll(self.row.ready, context)

    def _poll(self, poll: Poll, context: dict[str, Any], *, gone: bool = False) -> None:
        """Waits for a state of `poll.ok`; with `gone`, "not found" is the aim, otherwise it is a failure."""
        started = time.monotonic()
        limit = self.deadline or started + poll.timeout_s
        every_s = FIRST_POLL_S
        while True:
            description = self._run(poll.call, context) if poll.call else self._describe(context)
            state = "" if description is None else str(jmespath.search(poll.state, description) or "")
            if self._reached(poll, description, state, gone=gone):
                return
            waited = int(time.monotonic() - started)
            what = f"{self.row.token.rsplit(':', 1)[-1]} {context['id']}"
            if time.monotonic() > limit:
                raise ProviderError("Timeout", f"{what} is still {state or 'there'} after {waited} s")
            self._say(f"waiting for {what}: {state or 'still there'} ({waited} s)")
            self.caller.pause(min(every_s, max(limit - time.monotonic(), 0.1)), what)
            every_s = min(every_s * 1.5, poll.every_s)

    def _reached(self, poll: Poll, description: Any, state: str, *, gone: bool) -> bool:
        if description is None:
            if gone:
                return True
            raise ProviderError("NotFound", f"{self.row.token} disappeared while it was waited for")
        if state.lower() in {ok.lower() for ok in poll.ok}:
            return True
        if state.lower() in {fail.lower() for fail in poll.fail}:
            code = (jmespath.search(poll.code, description) if poll.code else "") or state
            reason = (jmespath.search(poll.reason, description) if poll.reason else "") or f"its state is {state}"
            raise ProviderError(str(code), f"{self.row.token.rsplit(':', 1)[-1]} {state}: {reason}")
        return False

    def _outputs(self, context: dict[str, Any]) -> Properties:
        description = self._describe(context)
        if description is None:
            raise ProviderError("NotFound", f"{self.row.token} {context['id']} is gone")
        return self._merge(context, description)

    def _merge(self, context: dict[str, Any], description: Properties) -> Properties:
        kept: Properties = {key: value for key, value in description.items() if key not in self.row.noise}
        if self.row.tags is not None:
            kept.pop(self.row.tags.path, None)
        return merged(kept, context["inputs"])

    # ---- read ------------------------------------------------------------------------------------------------------

    def read(self, id: str, inputs: Properties, outputs: Properties) -> Found:  # noqa: A002
        """The object now, and the inputs that would make it so. An empty `Found.id` only where the API says "not
        found".
        """
        context = self._context(id, inputs)
        description = self._describe(context)
        if description is None:
            return Found("")
        context["outputs"] = description
        now = self._inputs_now(context, description) if inputs else self._inputs_of_import(description)
        live = self._merge(context | {"inputs": now}, description)
        if outputs.get(UNFINISHED):
            live[UNFINISHED] = True
        return Found(id, live, now)

    def _inputs_now(self, context: dict[str, Any], description: Properties) -> Properties:
        getters = {setting.inputs[0]: setting for setting in self.row.settings if setting.get is not None}
        now: Properties = {}
        for name, value in context["inputs"].items():
            if name == "Tags" and self.row.tags is not None:
                tags = self._tags_of(context, description)
                now[name] = observed_tags(tags, value) if tags or not self.row.tags.optional else value
            elif name in getters:
                live = self._get(getters[name], context)
                if live is not None:
                    now[name] = observed(live, value)
            else:
                now[name] = self._observe(name, description, value)
        return now

    def _get(self, setting: Setting, context: dict[str, Any]) -> Any:
        assert setting.get is not None  # noqa: S101 (the caller looked)
        try:
            return self._run(setting.get, context)
        except ProviderError as error:
            if matches(error, setting.unset):
                return None
            if setting.optional and matches(error, NOT_IMPLEMENTED):
                return context["inputs"][setting.inputs[0]]
            raise

    def _observe(self, name: str, description: Properties, value: Any) -> Any:
        if name in self.row.opaque:
            return value
        live = (
            jmespath.search(self.row.observe[name], description) if name in self.row.observe else description.get(name)
        )
        return value if live is None else observed(live, value)

    def _inputs_of_import(self, description: Properties) -> Properties:
        """What the create call needs at least; the rest is the program's to say, and compared with the description
        then.
        """
        needed = self.model.operation_model(self.row.create.operation).input_shape.required_members
        taken = input_names(self.row, self.model)
        names = [*(name for name in needed if name in taken), *self.row.required]
        found = {}
        for name in names:
            live = (
                jmespath.search(self.row.observe[name], description)
                if name in self.row.observe
                else description.get(name)
            )
            if live is not None:
                found[name] = live
        return found

    def _describe(self, context: dict[str, Any]) -> Any:
        try:
            description = self._run(self.row.read, context)
        except ProviderError as error:
            if matches(error, self.row.not_found):
                return None
            raise
        if description is None or self._is_gone(description):
            return None
        return description

    def _is_gone(self, description: Any) -> bool:
        gone = self.row.gone
        if gone is None or not gone.state or not isinstance(description, dict):
            return False
        state = str(jmespath.search(gone.state, description) or "").lower()
        return state in {ok.lower() for ok in gone.ok}

    def _tags_of(self, context: dict[str, Any], description: Properties) -> dict[str, str]:
        tags = self.row.tags
        if tags is None:
            return {}
        if tags.get is None:
            return tag_map(jmespath.search(tags.path, description))
        try:
            return tag_map(self._run(tags.get, context))
        except ProviderError as error:
            if matches(error, tags.unset) or (tags.optional and matches(error, NOT_IMPLEMENTED)):
                return {}
            raise

    # ---- update ----------------------------------------------------------------------------------------------------

    def update(self, id: str, old_inputs: Properties, old_outputs: Properties, news: Properties) -> Properties:  # noqa: A002
        """Applies the settings whose inputs differ; all of them where the last run didn't get through."""
        context = self._context(id, news) | {"old_inputs": old_inputs, "outputs": old_outputs}
        changed = set(changed_inputs(self.row, old_inputs, old_outputs, news))
        unfinished = bool(old_outputs.get(UNFINISHED))
        if unfinished:
            self._await_ready(context) if not is_broken(self.row, old_outputs) else None
        needed = [
            setting
            for setting in self.row.settings
            if changed & set(setting.inputs) or (unfinished and setting.on_create)
        ]
        try:
            if "Tags" in changed or unfinished:
                self._retag(context, old_inputs.get("Tags") or {})
            for setting in needed:
                self._apply(setting, context)
            self._await_ready(context)
            return self._outputs(context)
        except ProviderError as error:
            if not unfinished:
                raise
            raise self._not_ready(context, error) from error

    # ---- delete ----------------------------------------------------------------------------------------------------

    def delete(self, id: str, inputs: Properties, outputs: Properties) -> None:  # noqa: A002
        """Deletes and waits until it is gone. What is gone already is fine."""
        context = self._context(id, inputs) | {"outputs": outputs}
        try:
            for step in self.row.before_delete:
                self._before(step, context)
            if self.row.delete_reads:
                context["answer"] = self._describe(context)
                if context["answer"] is None:
                    return
            self._run(self.row.delete, context)
        except ProviderError as error:
            if not matches(error, self.row.not_found):
                raise
        if self.row.gone is not None:
            self._poll(self.row.gone, context, gone=True)

    def _before(self, step: Any, context: dict[str, Any]) -> None:
        if isinstance(step, Call):
            self._run(step, context)
            return
        try:
            step(self.clients.client(self.row.service), context)
        except ProviderError:
            raise
        except Exception as error:
            raise call_error(error, f"before {self.row.delete.operation}") from error

    # ---- plumbing --------------------------------------------------------------------------------------------------

    def _run(self, call: Call, context: dict[str, Any], *, retries: bool = True) -> Any:
        return self.caller.run(self.row.service, call, context, retries=retries)

    def _context(self, id: str, inputs: Properties) -> dict[str, Any]:  # noqa: A002
        tags = {**(inputs.get("Tags") or {}), OWNER_TAG: self.owner}
        context: dict[str, Any] = {
            "id": id,
            "parts": id.split(SEPARATOR),
            "inputs": inputs,
            "old_inputs": {},
            "outputs": {},
            "answer": {},
            "owner": self.owner,
            "region": self.clients.region,
            "tags": tags,
            "tag_list": tag_list(tags),
        }
        for name, param in self.row.derived.items():
            context[name] = evaluate(param, context) if inputs else None
        return context


def tag_list(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]
