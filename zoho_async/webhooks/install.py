"""Install webhooks of Books and Inventory: the webhook and the workflow rule that sends it.

Model
-----
A *webhook* has an address and a secret. A *rule* says for which module and for which event it is
sent. For each module and event, `install` makes one of each with the same name, which it builds
from the address, the module and the event. The address gets the parameter ``event_type``, because
the default payload does not say what happened. Created and edited records share a rule, because an
organization can have only ten rules per module.

Invariant
---------
If `install` is run again after any failure until it succeeds, there is one webhook and one rule per
name, and the rule sends the webhook.

Why it holds
------------
`install` first reads what exists, and creates what is missing by name (`plan`). After a write whose
outcome is unknown it looks for the name again. The rule is created after the webhook that it sends;
if it is missing or sends another one, the next run completes it. `remove` deletes the rule first,
so that a webhook without a rule is what remains of an interrupted run.

What is unknown
---------------
- Whether lists show a new webhook or rule at once. Two installations at the same time can create
  both; then `plan` refuses to continue.
- The names of modules (``entity``) of most lists, and of rule types: ``add_edit`` and ``delete``
  were seen, ``add`` and ``edit`` follow from them. Zoho refuses a wrong one.
- Whether ``apply_rule_always`` is what the web application calls "every time".

Webhooks of Billing and Invoice are set in the web application only.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Sequence
from typing import Any, Final, Literal

import msgspec

from zoho_async.errors import (
    AmbiguousWrite,
    ConfigurationError,
    DecodeError,
    InvalidRequest,
    NotAuthorized,
    ReplyError,
    ZohoError,
)
from zoho_async.session import Session
from zoho_async.webhooks.hooks import Hook, InstallProduct, hooks, is_ours, name_start, secret_tag
from zoho_async.webhooks.installed import (
    Installed,
    InstalledRule,
    InstalledWebhook,
    Resources,
    installed,
    rules_of,
    whole_record,
)

__all__ = [
    "Hook",
    "InstallProduct",
    "InstallRefused",
    "Installed",
    "InstalledRule",
    "InstalledWebhook",
    "PlannedRequest",
    "Step",
    "hooks",
    "install",
    "installed",
    "plan",
    "removable",
    "remove",
    "requests",
]

#: Zoho's documented limits, for messages.
LIMITS: Final = (
    "Zoho allows webhooks from the Professional plan on: at most 1,000 per day, and 200 rules, 10 "
    "of them per module"
)

_HIDDEN: Final = "***"


class InstallRefused(ZohoError):
    """Zoho refused to create or change a webhook or rule. The message says what to do."""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """What is left to do for a hook. ``webhook_id`` and ``rule_id`` are "" if it is missing.

    ``rule`` is what its rule needs: to be created, changed so that it sends the webhook, or
    activated. "" needs nothing.
    """

    hook: Hook
    webhook_id: str = ""
    rule_id: str = ""
    rule: Literal["create", "connect", "activate", ""] = ""

    @property
    def is_done(self) -> bool:
        """Whether everything exists."""
        return bool(self.webhook_id) and not self.rule


# -- decisions ------------------------------------------------------------------------------------


def plan(wanted: Sequence[Hook], found: Installed) -> list[Step]:
    """Return what must be done for each of ``wanted``.

    Raises `ConfigurationError` if Zoho has two of a name, or one that a person changed in a way
    that this function should not undo.
    """
    return [_step(hook, found) for hook in wanted]


def _step(hook: Hook, found: Installed) -> Step:
    webhooks = [each for each in found.webhooks if each.name == hook.name]
    rules = [each for one in found.webhooks for each in one.rules] + [*found.loose_rules]
    named = {each.rule_id: each for each in rules if each.name == hook.name}
    for kind, ids in (
        ("webhooks", [each.webhook_id for each in webhooks]),
        ("rules", sorted(named)),
    ):
        if len(ids) > 1:
            raise ConfigurationError(
                f"there are {len(ids)} {kind} named {hook.name!r}: delete all but one of "
                f"{', '.join(ids)} and try again"
            )
    for one in webhooks:
        if one.url != hook.url:
            raise ConfigurationError(
                f"the address of webhook {one.webhook_id} was changed in Zoho: change it back, or "
                f"run `zoho-async webhooks remove {one.webhook_id}`"
            )
    webhook_id = webhooks[0].webhook_id if webhooks else ""
    if not named:
        return Step(hook=hook, webhook_id=webhook_id, rule="create")
    (rule,) = named.values()
    needs: Literal["connect", "activate", ""] = ""
    sends_it = webhook_id in rule.webhook_ids or rule.other_actions is None
    if not webhook_id or not sends_it:
        if rule.other_actions:  # a change would replace them
            raise ConfigurationError(
                f"rule {rule.rule_id} ({rule.name}) no longer sends its webhook, but has other "
                "actions: add the webhook to it in Zoho, or rename it"
            )
        needs = "connect"
    elif rule.is_active is False:
        needs = "activate"
    return Step(hook=hook, webhook_id=webhook_id, rule_id=rule.rule_id, rule=needs)


def overlapping(wanted: Sequence[Hook], found: Installed) -> list[InstalledWebhook]:
    """Return our webhooks that send some of the same changes to the same address once more."""
    several = {"changed": ("created", "edited"), "created": ("changed",), "edited": ("changed",)}
    names = {
        hook.name.removesuffix(hook.event) + event
        for hook in wanted
        for event in several.get(hook.event, ())
    }
    return [each for each in found.webhooks if each.name in names]


# -- requests -------------------------------------------------------------------------------------


class PlannedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request that `install` would send. ``path`` begins after the API's version."""

    method: Literal["POST", "PUT"]
    path: str
    body: Any = None


def requests(steps: Iterable[Step]) -> list[PlannedRequest]:
    """Return the requests of ``steps``, with ``***`` for the secret and ids that do not exist."""
    found: list[PlannedRequest] = []
    for step in steps:
        if not step.webhook_id:
            body = _webhook_fields(step.hook, _HIDDEN)
            found.append(PlannedRequest(method="POST", path="/settings/webhooks", body=body))
        path, body = "/settings/workflows", _rule_fields(step.hook, step.webhook_id or _HIDDEN)
        if step.rule == "create":
            found.append(PlannedRequest(method="POST", path=path, body=body))
        elif step.rule == "connect":
            found.append(PlannedRequest(method="PUT", path=f"{path}/{step.rule_id}", body=body))
        elif step.rule == "activate":
            found.append(PlannedRequest(method="POST", path=f"{path}/{step.rule_id}/active"))
    return found


def _webhook_fields(hook: Hook, secret: str) -> dict[str, Any]:
    """A webhook to send. Without ``body_type`` and ``raw_data`` it has the default payload."""
    tag = secret if secret == _HIDDEN else secret_tag(secret)
    return {
        "webhook_name": hook.name,
        "entity": hook.entity,
        "url": hook.url,
        "method": "POST",
        "secret": secret,
        "description": f"Installed by zoho-async. Secret [{tag}]",
    }


def _rule_fields(hook: Hook, webhook_id: str) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "workflow_name": hook.name,
        "entity": hook.entity,
        "rule_type": hook.rule_type,
        "apply_rule_always": True,
        "instant_actions": [{"action_id": webhook_id, "action_type": "webhook"}],
    }
    if hook.event in ("changed", "edited"):
        fields["field_update_comparator"] = "any"
    return fields


# -- changes --------------------------------------------------------------------------------------


async def install(
    zoho: Session, steps: Iterable[Step], *, secret: str, product: InstallProduct = "books"
) -> list[Step]:
    """Carry out the ``steps`` of `plan`, and return them with their ids.

    Save ``secret`` before. After any error run `installed`, `plan` and this again. Raises
    `InstallRefused` if Zoho refuses something, and what calls raise.

        wanted = hooks("https://example.com/hooks", ["invoices"], ["created", "edited"])
        steps = plan(wanted, await installed(zoho))
        await install(zoho, steps, secret=secret)
    """
    resources = Resources(zoho, product)
    return [await _carry_out(resources, step, secret) for step in steps]


async def _carry_out(resources: Resources, step: Step, secret: str) -> Step:
    hook, webhook_id, rule_id = step.hook, step.webhook_id, step.rule_id
    webhooks, workflows, zoho = resources.webhooks, resources.workflows, resources.zoho
    if not webhook_id:
        fields = msgspec.convert(_webhook_fields(hook, secret), webhooks.WebhookCreate)
        webhook_id = await _created(zoho, webhooks, fields, "webhook", hook.name)
    if step.rule in ("create", "connect"):
        fields = _rule_fields(hook, webhook_id)
        if step.rule == "create":
            fields = msgspec.convert(fields, workflows.WorkflowCreate)
            rule_id = await _created(zoho, workflows, fields, "workflow", hook.name)
        else:
            fields = msgspec.convert(fields, workflows.WorkflowInput)
            await _explained(workflows.update(zoho, rule_id, fields), "workflow")
    elif step.rule == "activate":
        await _explained(workflows.activate(zoho, rule_id), "workflow")
    return Step(hook=hook, webhook_id=webhook_id, rule_id=rule_id)


async def _created(zoho: Session, module: Any, fields: Any, kind: str, name: str) -> str:
    """Create a webhook or rule and return its id; look for its name if the reply is unclear."""
    try:
        made = await _explained(module.create(zoho, fields), kind)
        if record_id := str(getattr(made, f"{kind}_id")):
            return record_id
        problem: ZohoError | None = None
    except (AmbiguousWrite, DecodeError) as unclear:
        problem = unclear
    found = [
        str(getattr(each, f"{kind}_id"))
        async for each in module.list(zoho)
        if getattr(each, f"{kind}_name") == name
    ]
    if len(found) == 1:
        return found[0]
    raise problem or InstallRefused(
        f"Zoho's reply names no new {kind}, and its list has {len(found)} named {name!r}: look for "
        "it in Zoho's settings, then run the same command again"
    )


async def _explained(call: Awaitable[Any], kind: str) -> Any:
    """Await ``call``. If Zoho refuses it, say what can be done."""
    try:
        return await call
    except (InvalidRequest, NotAuthorized) as problem:
        raise InstallRefused(_advice(problem, kind)) from problem


def _advice(problem: ReplyError, kind: str) -> str:
    if isinstance(problem, NotAuthorized):
        return (
            f"{problem}; webhooks need the scopes ZohoBooks.settings (or ZohoInventory.settings) "
            "READ, CREATE, UPDATE and DELETE: `zoho-async login webhooks workflows --write`, with "
            "everything else that the account is used for"
        )
    return f"Zoho refused the {kind}: {problem}; {LIMITS}"


def removable(
    found: Installed,
    *,
    address: str | None = None,
    entities: Sequence[str] = (),
    ids: Sequence[str] = (),
) -> Installed:
    """Choose what `remove` deletes: our webhooks, and those that ``ids`` name, with their rules.

    ``address`` and ``entities`` choose among our webhooks. Raises `ConfigurationError` for an id
    that does not exist, for a rule that may do more than send these webhooks, and without ``ids``
    for a rule that is not ours.
    """
    known = {each.webhook_id for each in found.webhooks}
    for each in ids:
        if each not in known:
            raise ConfigurationError(f"there is no webhook {each}; see `zoho-async webhooks list`")
    start = name_start(address) if address else ""

    def is_chosen(one: InstalledWebhook | InstalledRule) -> bool:
        if ids:
            return isinstance(one, InstalledWebhook) and one.webhook_id in ids
        ours = is_ours(one.name) and one.name.startswith(start)
        return ours and (not entities or one.entity in entities)

    chosen = Installed(
        webhooks=tuple(each for each in found.webhooks if is_chosen(each)),
        loose_rules=tuple(each for each in found.loose_rules if is_chosen(each)),
    )
    going = {each.webhook_id for each in chosen.webhooks}
    for rule in rules_of(chosen):
        ours = is_ours(rule.name)
        is_shared = bool((known & set(rule.webhook_ids)) - going)
        if is_shared or rule.other_actions or (rule.other_actions is None and not ours):
            raise ConfigurationError(
                f"rule {rule.rule_id} ({rule.name}) may have other actions: change it in Zoho first"
            )
        if not (ours or ids):
            raise ConfigurationError(
                f"rule {rule.rule_id} ({rule.name}) was not installed by this command, but sends "
                "these webhooks: name them by their ids to delete it too"
            )
    return chosen


async def remove(zoho: Session, chosen: Installed, *, product: InstallProduct = "books") -> None:
    """Delete the rules and webhooks that `removable` chose. It can be repeated after any error.

    Raises what calls raise.
    """
    resources = Resources(zoho, product)
    again = zoho.with_options(retry_writes=True)  # deleting twice does no harm
    for rule in rules_of(chosen):
        await whole_record(resources.workflows.delete, again, rule.rule_id)
    for webhook in chosen.webhooks:
        await whole_record(resources.webhooks.delete, again, webhook.webhook_id)
