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
- What a rule's list and its state are called: ``is_active`` and ``status`` are read if they come.
- Whether ``apply_rule_always`` is what the web application calls "every time".

Webhooks of Billing and Invoice are set in the web application only.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias, cast, get_args

import msgspec

from zoho_async import description
from zoho_async.errors import (
    AmbiguousWrite,
    ConfigurationError,
    DecodeError,
    InvalidRequest,
    NotAuthorized,
    NotFound,
    ReplyError,
    ZohoError,
)
from zoho_async.regions import checked_url
from zoho_async.session import Session

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

InstallProduct: TypeAlias = Literal["books", "inventory"]
EventName: TypeAlias = Literal["created", "edited", "deleted"]
EVENTS: Final[tuple[EventName, ...]] = ("created", "edited", "deleted")

#: Zoho's documented limits, for messages.
LIMITS: Final = (
    "Zoho allows webhooks from the Professional plan on: at most 1,000 per day, and 200 rules, 10 "
    "of them per module"
)

#: The type of a rule by the event in the webhook's address.
_RULE_TYPES: Final = {
    "changed": "add_edit",
    "created": "add",
    "edited": "edit",
    "deleted": "delete",
}
_OURS: Final = re.compile(r"zoho-async ([0-9a-f]{8}) (\S+) (changed|created|edited|deleted)")
_TAG: Final = re.compile(r"\[([0-9a-f]{8})\]")
#: Modules whose name in rules is not that of their records in the API.
_ENTITIES: Final = {"payment": "customerpayment"}
_CUSTOM_MODULE: Final = re.compile(r"cm_[0-9A-Za-z_]{1,100}")
#: The longest module name that fits into a webhook's name of 50 characters.
_MOST_ENTITY: Final = 22
_HIDDEN: Final = "***"


class InstallRefused(ZohoError):
    """Zoho refused to create or change a webhook or rule. The message says what to do."""


class Hook(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook to install: for one module and event, under a name that no other one has.

    ``address`` is what the user named, ``url`` what Zoho calls.
    """

    name: str
    entity: str
    event: str
    rule_type: str
    address: str
    url: str


class InstalledRule(msgspec.Struct, frozen=True, kw_only=True):
    """A workflow rule. ``webhook_ids`` are the webhooks that it sends.

    ``other_actions`` counts its other actions; it is ``None`` if Zoho shows no actions, as is
    ``is_active`` if Zoho does not say whether the rule is active.
    """

    rule_id: str
    name: str
    entity: str
    rule_type: str
    webhook_ids: tuple[str, ...] = ()
    other_actions: int | None = 0
    is_active: bool | None = None


class InstalledWebhook(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook and the rules that send it. ``tag`` is that of its secret (`secret_tag`), or ""."""

    webhook_id: str
    name: str
    entity: str
    url: str
    tag: str = ""
    rules: tuple[InstalledRule, ...] = ()

    @property
    def is_ours(self) -> bool:
        """Whether its name is one that `install` makes."""
        return _OURS.fullmatch(self.name) is not None


class Installed(msgspec.Struct, frozen=True, kw_only=True):
    """What exists. ``loose_rules`` have names of ours, but send no webhook that exists."""

    webhooks: tuple[InstalledWebhook, ...]
    loose_rules: tuple[InstalledRule, ...] = ()

    def at(self, address: str) -> tuple[InstalledWebhook, ...]:
        """Our webhooks with this address."""
        start = f"zoho-async {_url_hash(address)} "
        return tuple(each for each in self.webhooks if each.is_ours and each.name.startswith(start))


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


def hooks(
    url: str,
    modules: Iterable[str],
    events: Iterable[str],
    *,
    product: InstallProduct = "books",
) -> list[Hook]:
    """Return the webhooks for ``modules`` (``invoices``, or a custom one: ``cm_...``) and events.

    Raises `ConfigurationError` for an unknown module or event, and for an address that Zoho should
    not send records to: it must be https (http on loopback only), without user, query or fragment.
    """
    checked_product(product)
    checked_url(url, what="the address of a webhook")
    wanted = set(events)
    for unknown in wanted - set(EVENTS):
        raise ConfigurationError(
            f"unknown event {unknown!r}: use one or more of {', '.join(EVENTS)}"
        )
    if not wanted:
        raise ConfigurationError(f"name at least one event: {', '.join(EVENTS)}")
    names = [str(event) for event in EVENTS if event in wanted]
    if {"created", "edited"} <= wanted:
        names = ["changed", *names[2:]]
    entities = dict.fromkeys(entity_of(module, product) for module in modules)
    return [_hook(url.strip(), entity, event) for entity in entities for event in names]


def checked_product(product: str) -> InstallProduct:
    """Return ``product``. Raises `ConfigurationError` if its API cannot set webhooks."""
    if product in get_args(InstallProduct):
        return cast(InstallProduct, product)
    raise ConfigurationError(
        f"webhooks of {product} cannot be set through the API: make them in Zoho's web "
        "application, with a secret, and set ZOHO_WEBHOOK_SECRET for the receiver"
    )


def entity_of(module: str, product: InstallProduct) -> str:
    """Return the name of ``module`` in rules: ``salesorder`` for ``sales_orders``.

    Raises `ConfigurationError` for an unknown module, with similar names.
    """
    if _CUSTOM_MODULE.fullmatch(module):
        return module
    known: dict[str, str] = {}
    for facts in description.reads(product):
        if facts.name.endswith(".get") and facts.key and facts.path.count("{") == 1:
            key = facts.key.replace("_", "")
            entity = _ENTITIES.get(key, key)
            known |= {facts.resource.partition(".")[2]: entity}
    plain = module.removeprefix(f"{product}.")
    if plain in known:
        return known[plain]
    if plain in known.values():
        return plain
    near = difflib.get_close_matches(plain, known)
    raise ConfigurationError(
        f"{product} has no module {module!r}; "
        + (f"did you mean {', '.join(near)}?" if near else f"use one of {', '.join(known)}")
    )


def _hook(address: str, entity: str, event: str) -> Hook:
    short = entity if len(entity) <= _MOST_ENTITY else f"{entity[:13]}-{_url_hash(entity)}"
    return Hook(
        name=f"zoho-async {_url_hash(address)} {short} {event}",
        entity=entity,
        event=event,
        rule_type=_RULE_TYPES[event],
        address=address,
        url=f"{address}?event_type={event}",
    )


def _url_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def secret_tag(secret: str) -> str:
    """Return eight hexadecimal digits by which a secret is recognized, but not found."""
    return hashlib.sha256(b"zoho-async webhook " + secret.encode()).hexdigest()[:8]


def plan(wanted: Sequence[Hook], found: Installed) -> list[Step]:
    """Return what must be done for each of ``wanted``.

    Raises `ConfigurationError` if Zoho has two of a name, or one whose address was changed.
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


# -- what exists ----------------------------------------------------------------------------------


async def installed(zoho: Session, *, product: InstallProduct = "books") -> Installed:
    """Read all webhooks of an organization with the rules that send them, ours and others'.

    Makes a call per page of both lists, and one for each rule of a webhook and each webhook of
    ours. Raises what calls raise.
    """
    resources = _Resources(zoho, product)
    webhooks = [each async for each in resources.webhooks.list(zoho)]
    related = {
        each.webhook_id: {str(rule.workflow_id) for rule in each.related_rules or ()}
        for each in webhooks
    }
    of_webhooks = set[str]().union(*related.values())
    rules: list[InstalledRule] = []
    async for row in resources.workflows.list(zoho):
        is_ours = _OURS.fullmatch(row.workflow_name or "") is not None
        if is_ours or row.workflow_id in of_webhooks:
            row = await _whole(resources.workflows.get, zoho, row.workflow_id)
        if row is not None:
            sent_by_it = tuple(
                webhook for webhook, ids in related.items() if row.workflow_id in ids
            )
            rules.append(_rule(row, sent_by_it))
    found: list[InstalledWebhook] = []
    for each in webhooks:
        ours = _OURS.fullmatch(each.webhook_name or "") is not None
        row = await _whole(resources.webhooks.get, zoho, each.webhook_id) if ours else each
        if row is not None:
            found.append(_webhook(row, rules))
    ids = {each.webhook_id for each in found}
    loose = [
        each for each in rules if _OURS.fullmatch(each.name) and not ids & set(each.webhook_ids)
    ]
    return Installed(webhooks=tuple(found), loose_rules=tuple(loose))


class _Resources:
    """The generated modules of one product. Books and Inventory have the same functions."""

    def __init__(self, zoho: Session, product: InstallProduct) -> None:
        self.zoho: Final = zoho
        self.webhooks: Final[Any] = importlib.import_module(f"zoho_async.{product}.webhooks")
        self.workflows: Final[Any] = importlib.import_module(f"zoho_async.{product}.workflows")


async def _whole(get: Callable[..., Awaitable[Any]], zoho: Session, record_id: str) -> Any:
    """A whole record; None if it was deleted meanwhile."""
    try:
        return await get(zoho, record_id)
    except NotFound:
        return None


def _rule(row: Any, sent_by_it: Sequence[str]) -> InstalledRule:
    actions = [*(row.instant_actions or ()), *(row.time_based_actions or ())]
    webhooks = [str(each.action_id) for each in actions if each.action_type == "webhook"]
    return InstalledRule(
        rule_id=row.workflow_id,
        name=row.workflow_name or "",
        entity=row.entity or "",
        rule_type=row.rule_type or "",
        webhook_ids=tuple(dict.fromkeys([*webhooks, *sent_by_it])),
        other_actions=None if row.instant_actions is None else len(actions) - len(webhooks),
        is_active=_is_active(row.extra),
    )


def _is_active(extra: Mapping[str, Any]) -> bool | None:
    for name in ("is_active", "is_enabled"):
        if isinstance(extra.get(name), bool):
            return bool(extra[name])
    status = extra.get("status")
    return status == "active" if status in ("active", "inactive") else None


def _webhook(row: Any, rules: Sequence[InstalledRule]) -> InstalledWebhook:
    tag = _TAG.search(row.description or "")
    return InstalledWebhook(
        webhook_id=row.webhook_id,
        name=row.webhook_name or "",
        entity=row.entity or "",
        url=row.url or "",
        tag=tag[1] if tag else "",
        rules=tuple(each for each in rules if row.webhook_id in each.webhook_ids),
    )


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
    resources = _Resources(zoho, product)
    return [await _carry_out(resources, step, secret) for step in steps]


async def _carry_out(resources: _Resources, step: Step, secret: str) -> Step:
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
    that does not exist, and for a rule that does more than send these webhooks.
    """
    known = {each.webhook_id for each in found.webhooks}
    for each in ids:
        if each not in known:
            raise ConfigurationError(f"there is no webhook {each}; see `zoho-async webhooks list`")
    start = f"zoho-async {_url_hash(address)} " if address else "zoho-async "

    def is_chosen(one: InstalledWebhook | InstalledRule) -> bool:
        if ids:
            return isinstance(one, InstalledWebhook) and one.webhook_id in ids
        is_ours = _OURS.fullmatch(one.name) is not None and one.name.startswith(start)
        return is_ours and (not entities or one.entity in entities)

    chosen = Installed(
        webhooks=tuple(each for each in found.webhooks if is_chosen(each)),
        loose_rules=tuple(each for each in found.loose_rules if is_chosen(each)),
    )
    going = {each.webhook_id for each in chosen.webhooks}
    for rule in rules_of(chosen):
        if rule.other_actions or (known & set(rule.webhook_ids)) - going:
            raise ConfigurationError(
                f"rule {rule.rule_id} ({rule.name}) has other actions too: change it in Zoho first"
            )
    return chosen


def rules_of(found: Installed) -> list[InstalledRule]:
    """All rules of ``found``, each once."""
    rules = [*(rule for each in found.webhooks for rule in each.rules), *found.loose_rules]
    return list({rule.rule_id: rule for rule in rules}.values())


async def remove(zoho: Session, chosen: Installed, *, product: InstallProduct = "books") -> None:
    """Delete the rules and webhooks that `removable` chose. It can be repeated after any error.

    Raises what calls raise.
    """
    resources = _Resources(zoho, product)
    again = zoho.with_options(retry_writes=True)  # deleting twice does no harm
    for rule in rules_of(chosen):
        await _whole(resources.workflows.delete, again, rule.rule_id)
    for webhook in chosen.webhooks:
        await _whole(resources.webhooks.delete, again, webhook.webhook_id)
