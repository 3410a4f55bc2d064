"""The webhooks and workflow rules that an organization of Books or Inventory has.

What is unknown: the fields of a list's rows beyond the id, and what a rule's state is called.
``is_active`` and ``status`` are read if they come. Rules that send webhooks, and webhooks and rules
of ours, are therefore read by their ids too.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from zoho_async.errors import ReplyError, says_gone
from zoho_async.session import Session
from zoho_async.webhooks.hooks import InstallProduct, is_ours, name_start

#: The tag of a secret in the description of a webhook.
_TAG: Final = re.compile(r"\[([0-9a-f]{8})\]")


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
        return is_ours(self.name)


class Installed(msgspec.Struct, frozen=True, kw_only=True):
    """What exists. ``loose_rules`` have names of ours, but send no webhook that exists."""

    webhooks: tuple[InstalledWebhook, ...]
    loose_rules: tuple[InstalledRule, ...] = ()

    def at(self, address: str) -> tuple[InstalledWebhook, ...]:
        """Our webhooks with this address."""
        start = name_start(address)
        return tuple(each for each in self.webhooks if each.is_ours and each.name.startswith(start))


def rules_of(found: Installed) -> list[InstalledRule]:
    """All rules of ``found``, each once."""
    rules = [*(rule for each in found.webhooks for rule in each.rules), *found.loose_rules]
    return list({rule.rule_id: rule for rule in rules}.values())


async def installed(zoho: Session, *, product: InstallProduct = "books") -> Installed:
    """Read all webhooks of an organization with the rules that send them, ours and others'.

    Makes a call per page of both lists, and one for each rule of a webhook and each webhook of
    ours. Raises what calls raise.
    """
    resources = Resources(zoho, product)
    webhooks = [each async for each in resources.webhooks.list(zoho)]
    related = {
        each.webhook_id: {str(rule.workflow_id) for rule in each.related_rules or ()}
        for each in webhooks
    }
    of_webhooks = set[str]().union(*related.values())
    rules: list[InstalledRule] = []
    async for row in resources.workflows.list(zoho):
        ours = is_ours(row.workflow_name or "")
        if ours or row.workflow_id in of_webhooks:
            row = await whole_record(resources.workflows.get, zoho, row.workflow_id)
        if row is not None:
            sent_by_it = tuple(
                webhook for webhook, ids in related.items() if row.workflow_id in ids
            )
            rules.append(_rule(row, sent_by_it))
    found: list[InstalledWebhook] = []
    for each in webhooks:
        ours = is_ours(each.webhook_name or "")
        row = await whole_record(resources.webhooks.get, zoho, each.webhook_id) if ours else each
        if row is not None:
            found.append(_webhook(row, rules))
    ids = {each.webhook_id for each in found}
    loose = [each for each in rules if is_ours(each.name) and not ids & set(each.webhook_ids)]
    return Installed(webhooks=tuple(found), loose_rules=tuple(loose))


class Resources:
    """The generated modules of one product. Books and Inventory have the same functions."""

    def __init__(self, zoho: Session, product: InstallProduct) -> None:
        self.zoho: Final = zoho
        self.webhooks: Final[Any] = importlib.import_module(f"zoho_async.{product}.webhooks")
        self.workflows: Final[Any] = importlib.import_module(f"zoho_async.{product}.workflows")


async def whole_record(get: Callable[..., Awaitable[Any]], zoho: Session, record_id: str) -> Any:
    """A whole record; None if it was deleted meanwhile."""
    try:
        return await get(zoho, record_id)
    except ReplyError as problem:
        if says_gone(problem):
            return None
        raise


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
