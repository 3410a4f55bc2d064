"""The subcommands for accounts, from ``login`` to ``scopes``, and their options."""

from __future__ import annotations

import os
from typing import Annotated, TypeAlias

from cyclopts import Parameter
from cyclopts.validators import Number

from zoho_async.cli import options, outcome
from zoho_async.cli.options import ACCOUNT, option
from zoho_async.cli.safe import print

Scoped: TypeAlias = Annotated[
    str,
    option(
        "What the token is for: `books`, `invoices` or `invoices.create`. Default: all of Books."
    ),
]
Checked: TypeAlias = Annotated[
    str, option("Lists whose scopes the token must have: `invoices contacts`. Default: no check.")
]
CheckedTo: TypeAlias = Annotated[
    str | None, option("Destination to check, as for `export`. Nothing is written.")
]
ProfileName: TypeAlias = Annotated[
    str | None, option("Account saved by `zoho-async login`. Default: `ZOHO_PROFILE`.", ACCOUNT)
]
Write: TypeAlias = Annotated[bool, option("Include the scopes that change records.")]
LoginProfile: TypeAlias = Annotated[str, option("Name of the saved account.", default=True)]
LoginRegion: TypeAlias = Annotated[
    str | None,
    option(
        "Data center (`us`, `eu`, `in`, ...). Default: found from Zoho's answer; asked with "
        "`--self-client`."
    ),
]
ClientId: TypeAlias = Annotated[str | None, option("Client ID. Default: asked.")]
LoginOrganization: TypeAlias = Annotated[
    str | None, option("Organization id. Default: chosen from a list.")
]
InBrowser: TypeAlias = Annotated[
    bool | None,
    Parameter(
        help="Agree in the browser, which needs no client secret, or paste a code from the API "
        "console (`--self-client`). Default: asked.",
        negative="--self-client",
        show_default=False,
    ),
]
OnDevice: TypeAlias = Annotated[
    bool,
    option(
        "Agree on another device, with a code. For SSH and containers. Needs the client secret on "
        "this machine."
    ),
]
CallbackPort: TypeAlias = Annotated[
    int | None,
    Parameter(
        help="Port of the redirect URI `http://localhost:PORT/callback`. Default: the first free "
        "one of 8976, 8977 and 8978.",
        show_default=False,
        validator=Number(gte=1, lte=65_535),
    ),
]
UseKeyring: TypeAlias = Annotated[
    bool,
    Parameter(
        help="Keep secrets in the OS keyring if it works, or in a file that only you can read "
        "(`--no-keyring`).",
        negative="--no-keyring",
        show_default=False,
    ),
]
Check: TypeAlias = Annotated[bool, option("Only check that the saved account works.")]


def login(
    *resources: Scoped,
    profile: LoginProfile = "default",
    check: Check = False,
    write: Write = False,
    region: LoginRegion = None,
    client_id: ClientId = None,
    organization: LoginOrganization = None,
    browser: InBrowser = None,
    device: OnDevice = False,
    port: CallbackPort = None,
    keyring: UseKeyring = True,
) -> int:
    """Set up an account: client, refresh token and organization.

    The command asks for secrets. They are never arguments.

    - In the browser, without a client secret: `zoho-async login --browser`
    - Over SSH or in a container: `zoho-async login --device`
    """
    from zoho_async.cli import login as login_command
    from zoho_async.cli import whoami as who

    if check:
        return who.check(None if profile == "default" else profile, os.environ)
    return login_command.login(
        login_command.LoginOptions(
            profile=profile,
            resources=resources,
            write=write,
            region=region,
            client_id=client_id,
            organization=organization,
            way=login_command.way_of(browser, device),
            port=port,
            keyring=keyring,
        ),
        os.environ,
    )


def logout(*, profile: ProfileName = None) -> int:
    """Revoke the refresh token of a saved account and delete the account."""
    from zoho_async.cli import whoami as who

    return who.logout(profile, os.environ)


def whoami(*, profile: ProfileName = None, json: options.AsJsonLine = False) -> int:
    """Show the account: region, scopes, organizations, token age and daily quota."""
    from zoho_async.cli import whoami as who

    who.note_if_overruled(profile)
    return who.whoami(profile, os.environ, json=json)


def doctor(
    *resources: Checked,
    profile: ProfileName = None,
    to: CheckedTo = None,
    json: options.AsJsonLine = False,
) -> int:
    """Check what an export needs, and say what to do: account, network, clock, limits, destination.

    Makes one API call, and needs no account to begin with. Ends with code 1 if a check failed.
    """
    from zoho_async.cli.doctor import doctor as examine

    return examine(resources, profile, os.environ, to=to, json=json)


def scopes(*resources: Scoped, write: Write = False) -> int:
    """Print the scopes that a job needs, in the form that the API console takes."""
    from zoho_async.description import scopes_for

    print(",".join(scopes_for(resources or ["books"], write=write)))
    return outcome.DONE
