"""``zoho-async webhooks``: its subcommands and their options."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Final, Literal, TypeAlias

from cyclopts import App, Parameter

from zoho_async.cli import options
from zoho_async.cli.connect import ConnectionOptions
from zoho_async.cli.options import option

if TYPE_CHECKING:
    from zoho_async.cli.webhooks import WebhooksCommand

HookUrl: TypeAlias = Annotated[
    str, option("Address of the receiver, `https://HOST/hooks`. The command adds `event_type`.")
]
RemovedUrl: TypeAlias = Annotated[
    str | None, option("Remove what was installed with this address.")
]
HookModules: TypeAlias = Annotated[
    tuple[str, ...],
    Parameter(
        name="--module",
        help="`invoices`, `contacts`, ..., or a custom module: `cm_...`. Repeatable.",
        show_default=False,
    ),
]
HookEvents: TypeAlias = Annotated[
    str, option("`created`, `edited`, `deleted`, joined by commas.", default=True)
]
HookProduct: TypeAlias = Annotated[
    Literal["books", "inventory", "invoice", "billing"],
    option("`books` or `inventory`. For others, webhooks are set in Zoho's web app.", default=True),
]
HookIds: TypeAlias = Annotated[str, option("Ids of webhooks, also of others.")]
HookDryRun: TypeAlias = Annotated[
    bool, option("Print the requests without the secret. Only reads what exists.")
]
Yes: TypeAlias = Annotated[bool, option("Do not ask.")]

WEBHOOKS_EPILOGUE: Final = """
**Examples**

- new and changed invoices: `zoho-async webhooks install --url https://example.com/hooks --module
  invoices --events created,edited`
- what exists: `zoho-async webhooks list`
- remove it: `zoho-async webhooks remove --url https://example.com/hooks`
"""

webhooks_app: Final = App(
    name="webhooks",
    help="Install, list and remove webhooks of Books and Inventory.",
    help_epilogue=WEBHOOKS_EPILOGUE,
)


@webhooks_app.command(help_epilogue=WEBHOOKS_EPILOGUE)
def install(
    *,
    url: HookUrl,
    module: HookModules,
    events: HookEvents = "created,edited,deleted",
    product: HookProduct = "books",
    dry_run: HookDryRun = False,
    json: options.AsJsonLine = False,
    connection: options.ConnectionArguments = ConnectionOptions(),  # noqa: B008
) -> int:
    """Create a webhook with a secret and its workflow rule, per module.

    Run it again after any failure: it creates only what is missing. The secret is that in
    `ZOHO_WEBHOOK_SECRET`, or a new one, saved like those of accounts.
    """
    from zoho_async.cli.webhooks import install_webhooks

    names = tuple(each.strip() for each in events.split(",") if each.strip())
    return install_webhooks(
        _webhooks_command(product, connection), url, module, names, dry_run=dry_run, json=json
    )


@webhooks_app.command(name="list")
def list_webhooks(
    *,
    product: HookProduct = "books",
    output: options.Output = None,
    connection: options.ConnectionArguments = ConnectionOptions(),  # noqa: B008
) -> int:
    """Show all webhooks with their rules and state, also those of others."""
    from zoho_async.cli.webhooks import list_webhooks as show

    return show(_webhooks_command(product, connection), output)


@webhooks_app.command
def remove(
    *ids: HookIds,
    url: RemovedUrl = None,
    module: HookModules = (),
    product: HookProduct = "books",
    yes: Yes = False,
    json: options.AsJsonLine = False,
    connection: options.ConnectionArguments = ConnectionOptions(),  # noqa: B008
) -> int:
    """Delete webhooks and their rules: those that `install` made for an address, or by id."""
    from zoho_async.cli.webhooks import remove_webhooks

    command = _webhooks_command(product, connection)
    return remove_webhooks(command, ids, url=url, modules=module, yes=yes, json=json)


def _webhooks_command(product: str, connection: ConnectionOptions) -> WebhooksCommand:
    from zoho_async.cli.webhooks import command_of
    from zoho_async.cli.whoami import note_if_overruled

    note_if_overruled(connection.profile)
    return command_of(product, connection, os.environ)
