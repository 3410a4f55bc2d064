"""``zoho-async webhooks``: installs, lists and removes webhooks with their rules."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import msgspec

from zoho_async.cli import outcome
from zoho_async.cli.call import CallOptions, request_text
from zoho_async.cli.connect import ConnectionOptions, connected
from zoho_async.cli.outcome import interruptible
from zoho_async.cli.output import Form, as_text, count, form_for, print_csv, print_table
from zoho_async.cli.questions import ask
from zoho_async.cli.safe import print, say
from zoho_async.errors import ConfigurationError, ZohoError
from zoho_async.session import Session
from zoho_async.webhooks.hooks import Hook, InstallProduct, checked_product, entity_of, hooks
from zoho_async.webhooks.install import (
    LIMITS,
    Step,
    install,
    overlapping,
    plan,
    removable,
    remove,
    requests,
)
from zoho_async.webhooks.installed import (
    Installed,
    InstalledRule,
    InstalledWebhook,
    installed,
    rules_of,
)
from zoho_async.webhooks.secret_store import (
    VARIABLE,
    SecretKey,
    secret_store,
    secret_to_install,
)

_COLUMNS: Final = ("webhook_id", "module", "rule_type", "state", "installed_by", "url")


class WebhooksCommand(msgspec.Struct, frozen=True, kw_only=True):
    """What the subcommands have in common."""

    product: InstallProduct
    connection: ConnectionOptions
    environ: Mapping[str, str]

    def __repr__(self) -> str:  # the environment holds secrets
        return f"WebhooksCommand({self.product!r})"


def command_of(
    product: str, connection: ConnectionOptions, environ: Mapping[str, str]
) -> WebhooksCommand:
    """Raises `ConfigurationError` for a product whose API cannot set webhooks."""
    return WebhooksCommand(product=checked_product(product), connection=connection, environ=environ)


# -- install --------------------------------------------------------------------------------------


def install_webhooks(
    command: WebhooksCommand,
    url: str,
    modules: tuple[str, ...],
    events: tuple[str, ...],
    *,
    dry_run: bool,
    json: bool,
) -> int:
    """Create what is missing, and print what exists then. With ``dry_run`` print the requests.

    Raises what calls raise, and `Interrupted`.
    """
    wanted = hooks(url, modules, events, product=command.product)
    if not wanted:
        raise ConfigurationError("name a module with --module, such as --module invoices")
    if command.connection.sandbox and not dry_run:
        raise ConfigurationError(
            "the data of --sandbox ends with the command: give --dry-run, or start `zoho-async "
            "sandbox`"
        )
    asyncio.run(interruptible(_install(command, wanted, dry_run, json)))
    return outcome.DONE


async def _install(command: WebhooksCommand, wanted: list[Hook], dry_run: bool, json: bool) -> None:
    async with connected(command.connection, command.environ, lambda event: None) as zoho:
        found = await installed(zoho, product=command.product)
        steps = plan(wanted, found)
        if dry_run:
            _print_requests(command, steps, zoho)
            return
        store = secret_store(command.connection.profile, command.environ)
        key = _key(command, zoho, wanted[0].address)
        secret = await asyncio.to_thread(secret_to_install, store, key, found, command.environ)
        try:
            done = await install(zoho, steps, secret=secret, product=command.product)
        except ZohoError:
            say("Run the same command again to continue: it creates only what is missing.")
            raise
        place = VARIABLE if command.environ.get(VARIABLE) else store.place
        if json:
            print(as_text(_summary(command, zoho, steps, done)))
            return
        for before, after in zip(steps, done, strict=True):
            print(_line(before, after))
        for other in overlapping(wanted, found):
            say(f"note: webhook {other.webhook_id} ({other.name}) sends some of these changes too")
        say(f"The secret is in {place}; `webhooks.saved_secret()` reads it for a receiver.")
        say('Give the receiver query_names=["event_type"].')
        say(f"{LIMITS}. Run `catch_up` for changes whose webhooks were lost.")


def _key(command: WebhooksCommand, zoho: Session, address: str) -> SecretKey:
    return SecretKey(product=command.product, organization=zoho.organization or "", url=address)


def _line(before: Step, after: Step) -> str:
    """One line about a hook: what was done."""
    hook = after.hook
    if before.is_done:
        verb = "unchanged"
    else:
        verb = "completed" if before.webhook_id or before.rule_id else "installed"
    return (
        f"{verb}: {hook.entity} {hook.event}, webhook {after.webhook_id}, rule {after.rule_id}, "
        f"{hook.url}"
    )


def _summary(
    command: WebhooksCommand, zoho: Session, before: list[Step], after: list[Step]
) -> dict[str, Any]:
    return {
        "product": command.product,
        "organization": zoho.organization,
        "changed": not all(step.is_done for step in before),
        "webhooks": [
            {
                "webhook_id": new.webhook_id,
                "rule_id": new.rule_id,
                "module": new.hook.entity,
                "event_type": new.hook.event,
                "url": new.hook.url,
                "changed": not old.is_done,
            }
            for old, new in zip(before, after, strict=True)
        ],
    }


def _print_requests(command: WebhooksCommand, steps: list[Step], zoho: Session) -> None:
    for number, request in enumerate(requests(steps)):
        options = CallOptions(
            method=request.method,
            path=request.path,
            product=command.product,
            body=msgspec.UNSET if request.body is None else request.body,
        )
        print(("\n" if number else "") + request_text(options, zoho))
    if all(step.is_done for step in steps):
        say("Everything is installed: nothing would be sent.")


# -- list -----------------------------------------------------------------------------------------


def list_webhooks(command: WebhooksCommand, form: Form | None) -> int:
    """Print all webhooks with their rules. Raises what calls raise, and `Interrupted`."""
    found, _ = asyncio.run(interruptible(_found(command, "")))
    rows = rows_of(found)
    wanted = form_for(form)
    if wanted == "json":
        print(as_text(rows))
    elif wanted == "jsonl":
        for row in rows:
            print(msgspec.json.encode(row).decode())
    elif not rows:
        say("no webhooks")
    elif wanted == "csv":
        print_csv(rows, ())
    else:
        print_table(rows, _COLUMNS)
    return outcome.DONE


def rows_of(found: Installed) -> list[dict[str, Any]]:
    """One row per webhook and rule. Addresses that others chose are shown without their query,
    which can hold a password.
    """
    rows = [_row(webhook, rule) for webhook in found.webhooks for rule in webhook.rules or (None,)]
    return rows + [_row(None, rule) for rule in found.loose_rules]


def _row(webhook: InstalledWebhook | None, rule: InstalledRule | None) -> dict[str, Any]:
    known = webhook or rule
    is_ours = webhook is None or webhook.is_ours
    active = None if rule is None else rule.is_active
    state = "not shown" if active is None else "active" if active else "inactive"
    if webhook is None or rule is None:
        state = "no rule" if rule is None else "no webhook"
    url = webhook.url if webhook else None
    return {
        "webhook_id": webhook.webhook_id if webhook else None,
        "name": known.name if known else None,
        "module": known.entity if known else None,
        "rule_id": rule.rule_id if rule else None,
        "rule_type": rule.rule_type if rule else None,
        "state": state,
        "installed_by": "zoho-async" if is_ours else "others",
        "url": url if is_ours or url is None else _without_query(url),
    }


def _without_query(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return "..."
    return urlunsplit(
        (
            parts.scheme,
            parts.netloc.rpartition("@")[2],
            parts.path,
            "..." if parts.query else "",
            "",
        )
    )


# -- remove ---------------------------------------------------------------------------------------


def remove_webhooks(
    command: WebhooksCommand,
    ids: tuple[str, ...],
    *,
    url: str | None,
    modules: tuple[str, ...],
    yes: bool,
    json: bool,
) -> int:
    """Delete webhooks and their rules after a question. Raises what calls raise."""
    if not ids and url is None:
        raise ConfigurationError("name what to remove: --url URL, or the ids of webhooks")
    if ids and (url or modules):
        raise ConfigurationError("give the ids of webhooks or --url, not both")
    if not yes and not sys.stdin.isatty():
        raise ConfigurationError("this command asks before it deletes: give --yes")
    entities = [entity_of(each, command.product) for each in modules]
    found, key = asyncio.run(interruptible(_found(command, url or "")))
    chosen = removable(found, address=url, entities=entities, ids=ids)
    webhooks, rules = chosen.webhooks, rules_of(chosen)
    if (webhooks or rules) and not yes:
        _confirm(chosen)
    asyncio.run(interruptible(_delete(command, chosen)))
    if url is not None and len(found.at(url)) == len(webhooks):
        secret_store(command.connection.profile, command.environ).remove(key)
    if json:
        webhook_ids = [each.webhook_id for each in webhooks]
        rule_ids = [each.rule_id for each in rules]
        print(as_text({"deleted_webhooks": webhook_ids, "deleted_rules": rule_ids}))
    else:
        print(f"deleted {count(len(webhooks), 'webhook')} and {count(len(rules), 'rule')}")
    return outcome.DONE


def _confirm(chosen: Installed) -> None:
    """Ask on the terminal. Raises `ConfigurationError` for any answer but yes."""
    for row in rows_of(chosen):
        say(f"  {row['name']}: webhook {row['webhook_id']}, rule {row['rule_id']}")
    webhooks, rules = len(chosen.webhooks), len(rules_of(chosen))
    question = f"Delete {count(webhooks, 'webhook')} and {count(rules, 'rule')}? (y/n)"
    if ask(question, default="n").lower() not in ("y", "yes"):
        raise ConfigurationError("nothing was deleted")


async def _found(command: WebhooksCommand, url: str) -> tuple[Installed, SecretKey]:
    async with connected(command.connection, command.environ, lambda event: None) as zoho:
        return await installed(zoho, product=command.product), _key(command, zoho, url)


async def _delete(command: WebhooksCommand, chosen: Installed) -> None:
    async with connected(command.connection, command.environ, lambda event: None) as zoho:
        await remove(zoho, chosen, product=command.product)
