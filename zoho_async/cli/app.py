"""The command line: its subcommands, and what is said of wrong usage."""

from __future__ import annotations

import os
import sys
from typing import Final

from cyclopts import App, CycloptsError, Parameter

from zoho_async import __version__
from zoho_async.cli import options, outcome
from zoho_async.cli.connect import SANDBOX_LISTS, SANDBOX_SEED, Connection
from zoho_async.cli.outcome import Interrupted
from zoho_async.cli.safe import print, replace_what_streams_lack
from zoho_async.errors import ZohoError

app: Final = App(
    name="zoho-async",
    version=__version__,
    help="Zoho Books, Invoice, Billing and Inventory: export every row once, look, call any path.",
    help_epilogue="Try it without an account: `zoho-async export --sandbox --to demo`",
    help_format="markdown",
    default_parameter=Parameter(negative=""),
)

limits_app: Final = App(name="limits")
app.command(limits_app)


@app.command(help_epilogue=options.EXPORT_EPILOGUE)
def export(
    *resources: options.Resource,
    to: options.To,
    format: options.FileFormat = None,
    flatten: options.Flatten = False,
    sandbox: options.InSandbox = False,
    json: options.AsJson = False,
    filter: options.Filters = (),
    restart: options.Fresh = False,
    full: options.Full = False,
    since: options.Since = None,
    detect_deletions: options.SweepDeleted = False,
    max_deletion_checks: options.SweepCalls = None,
    details: options.Details = False,
    files: options.DocumentFiles = False,
    files_to: options.DocumentFolder = None,
    strict: options.Strict = False,
    accept: options.Accept = (),
    accept_shorter: options.AcceptShorter = False,
    max_calls: options.CallBudget = None,
    until_done: options.UntilDone = False,
    merge: options.Merge = False,
    probe: options.Probe = False,
    all_organizations: options.AllOrganizations = False,
    profile: options.ProfileName = None,
    organization: options.Organization = None,
    region: options.Region = None,
    limit: options.Limit = 90,
    burst: options.Burst = 10,
    plan: options.Plan = None,
    ledger: options.LedgerFile = None,
    redis: options.RedisServer = None,
    minute: options.SandboxMinute = None,
) -> int:
    """Export lists of an organization into files or a database, each row once.

    The account comes from `zoho-async login`, or from the environment, which wins:
    `ZOHO_CLIENT_ID`, `ZOHO_CLIENT_SECRET`, `ZOHO_REFRESH_TOKEN`, `ZOHO_ORGANIZATION_ID`,
    `ZOHO_REGION`.

    The first run reads everything. The same command again reads what changed since: a database
    then holds the current state, a directory files beside the first ones, which `--merge` makes one
    of. An interrupted export goes on.
    """
    from zoho_async.cli.export import Order
    from zoho_async.cli.export import export as carry_out
    from zoho_async.cli.merging import merge_into_one
    from zoho_async.cli.whoami import note_if_overruled

    if merge:
        return merge_into_one(to, format, flatten=flatten, json=json)
    note_if_overruled(profile)

    return carry_out(
        Order(
            resources=resources or (SANDBOX_LISTS if sandbox else ()),
            to=to,
            format=format,
            flatten=flatten,
            filters=filter,
            restart=restart,
            full=full,
            since=since,
            detect_deletions=detect_deletions,
            max_deletion_checks=max_deletion_checks,
            details=details,
            files=files_to or files,
            strict=strict,
            accept=accept,
            accept_shorter=accept_shorter,
            max_calls=max_calls,
            until_done=until_done,
            probe=probe,
            all_organizations=all_organizations,
        ),
        Connection(
            sandbox=sandbox,
            profile=profile,
            organization=organization,
            region=region,
            limit=limit,
            burst=burst,
            plan=plan,
            minute=minute,
            ledger=ledger,
            redis=redis,
        ),
        environ=os.environ,
        command=sys.argv[1:],
        json=json,
    )


@limits_app.default
def limits(
    *,
    watch: options.Watch = False,
    json: options.AsLine = False,
    organization: options.Organization = None,
    region: options.Region = None,
    limit: options.Limit = 90,
    burst: options.Burst = 10,
    plan: options.Plan = None,
    ledger: options.LedgerFile = None,
    redis: options.RedisServer = None,
) -> int:
    """Show how far the organization's limits are used, by the shared ledger; calls nobody."""
    from zoho_async.cli.limits import limits as show

    return show(
        Connection(
            organization=organization,
            region=region,
            limit=limit,
            burst=burst,
            plan=plan,
            ledger=ledger,
            redis=redis,
        ),
        environ=os.environ,
        watch=watch,
        json=json,
    )


@limits_app.command
def init(url: options.FreshServer = None, /) -> int:
    """Mark a Redis server as new, so that the first calls need not wait. Makes no API calls.

    A server that is new or that lost usage gives no place for about two minutes, because calls may
    have been made that it does not know. Run this only if no program called for any of its
    organizations in the last two minutes: in CI, or before the first deployment.
    """
    from zoho_async.cli.limits import initialize

    initialize(url, environ=os.environ)
    print("the ledger is initialized")
    return outcome.DONE


@app.command(name="list", help_epilogue=options.LIST_EPILOGUE)
def list_(
    resource: options.Listed,
    *,
    filter: options.Filters = (),
    rows: options.Rows = None,
    columns: options.Columns = (),
    output: options.Output = None,
    dry_run: options.DryRun = False,
    sandbox: options.InSandbox = False,
    profile: options.ProfileName = None,
    organization: options.Organization = None,
    region: options.Region = None,
    ledger: options.LedgerFile = None,
) -> int:
    """Show the rows of a list: a table in a terminal, JSON Lines as Zoho wrote them in a pipe."""
    from zoho_async.cli.list import Wanted, list_rows
    from zoho_async.cli.pairs import read_pairs

    return list_rows(
        Wanted(
            resource=resource,
            filters=read_pairs(filter, "--filter"),
            rows=rows,
            columns=columns,
            form=output,
        ),
        Connection(
            sandbox=sandbox,
            profile=profile,
            organization=organization,
            region=region,
            ledger=ledger,
        ),
        environ=os.environ,
        dry_run=dry_run,
    )


@app.command(help_epilogue=options.CALL_EPILOGUE)
def call(
    method: options.HttpMethod,
    path: options.ApiPath,
    *,
    query: options.Query = (),
    body: options.Body = None,
    product: options.ProductName = "books",
    dry_run: options.DryRun = False,
    sandbox: options.InSandbox = False,
    profile: options.ProfileName = None,
    organization: options.Organization = None,
    region: options.Region = None,
    ledger: options.LedgerFile = None,
) -> int:
    """Call any path of the API, within the limits, and print the reply's JSON."""
    from zoho_async.cli.call import CallOptions, full_path, read_body
    from zoho_async.cli.call import call as carry_out
    from zoho_async.cli.pairs import read_pairs

    return carry_out(
        CallOptions(
            method=method,
            path=full_path(path),
            query=read_pairs(query, "--query"),
            body=read_body(body),
            product=product,
        ),
        Connection(
            sandbox=sandbox,
            profile=profile,
            organization=organization,
            region=region,
            ledger=ledger,
        ),
        environ=os.environ,
        dry_run=dry_run,
    )


@app.command
def resources(*, json: options.AsLines = False) -> int:
    """List what can be exported, and how a run proves that each list is complete."""
    from zoho_async.cli.resources import list_resources

    return list_resources(json=json)


@app.command
def login(
    *resources: options.Scoped,
    profile: options.LoginProfile = "default",
    check: options.Check = False,
    write: options.Write = False,
    region: options.LoginRegion = None,
    client_id: options.ClientId = None,
    organization: options.LoginOrganization = None,
    browser: options.InBrowser = None,
    port: options.CallbackPort = 8976,
    keyring: options.UseKeyring = True,
) -> int:
    """Get an account ready: ask for a client, obtain a refresh token, choose the organization.

    Secrets are asked for, never given as arguments.
    """
    from zoho_async.cli import login as room
    from zoho_async.cli import whoami as who

    if check:
        return who.check(None if profile == "default" else profile, os.environ)
    return room.login(
        room.LoginOrder(
            profile=profile,
            resources=resources,
            write=write,
            region=region,
            client_id=client_id,
            organization=organization,
            browser=browser,
            port=port,
            keyring=keyring,
        ),
        os.environ,
    )


@app.command
def logout(*, profile: options.ProfileName = None) -> int:
    """Revoke the refresh token of an account and forget it."""
    from zoho_async.cli import whoami as who

    return who.logout(profile, os.environ)


@app.command
def whoami(*, profile: options.ProfileName = None, json: options.AsJsonLine = False) -> int:
    """Say which account is called: region, scopes, organizations, token age, the day's quota."""
    from zoho_async.cli import whoami as who

    who.note_if_overruled(profile)
    return who.whoami(profile, os.environ, json=json)


@app.command(help_epilogue="For example: `zoho-async scopes contacts invoices.create`")
def scopes(*resources: options.Scoped, write: options.Write = False) -> int:
    """Print the least scopes for a job, as the API console takes them."""
    from zoho_async.description import scopes_for

    print(",".join(scopes_for(resources or ["books"], write=write)))
    return outcome.DONE


@app.command(help_epilogue=options.SANDBOX_EPILOGUE)
def sandbox(
    *,
    host: options.Host = "127.0.0.1",
    port: options.Port = 8080,
    open_to_network: options.ToNetwork = False,
    allowed_host: options.AllowedHosts = (),
    seed: options.Seed = SANDBOX_SEED,
    size: options.Sizes = (),
    organization: options.Organizations = (),
    plan: options.SandboxPlan = "premium",
    minute: options.Minute = 60.0,
    speed: options.Speed = 1.0,
    latency: options.Latency = "0",
    faults: options.FaultsFile = None,
) -> int:
    """Serve a local Zoho with made-up data, and print the environment that points clients at it.

    The page at its address shows its records, calls, limits and faults while it runs.
    """
    from zoho_async.cli.sandbox import SandboxOrder, serve

    return serve(
        SandboxOrder(
            host=host,
            port=port,
            open_to_network=open_to_network,
            allowed_hosts=allowed_host,
            seed=seed,
            sizes=size,
            organizations=organization,
            plan=plan,
            minute=minute,
            speed=speed,
            latency=latency,
            faults=faults,
        )
    )


@app.command(help_epilogue=options.COMPLETION_EPILOGUE)
def completion(shell: options.Shell) -> int:
    """Print the script that completes this command in a shell."""
    print(app.generate_completion(shell=shell))
    return outcome.DONE


def run() -> int:
    """Carry out the process's command line; the exit code. What is wrong is one sentence."""
    replace_what_streams_lack()
    try:
        code = app(
            sys.argv[1:], exit_on_error=False, print_error=False, result_action="return_value"
        )
    except CycloptsError as wrong:
        _say(_sentence(wrong))
        return outcome.USAGE
    except (ZohoError, Interrupted) as error:
        if isinstance(error, ZohoError):
            _say(str(error))
        return outcome.exit_code(error)
    except KeyboardInterrupt:
        return outcome.INTERRUPTED
    except BrokenPipeError:  # whoever read stdout has gone; nothing more may be written there
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return outcome.FAILED
    return code if isinstance(code, int) else outcome.DONE


def _say(sentence: str) -> None:
    print(f"zoho-async: {sentence}", file=sys.stderr)


def _sentence(wrong: CycloptsError) -> str:
    """cyclopts' own words on one line, and where to learn more."""
    text = " ".join(str(wrong).split()).rstrip(".")
    command = " ".join(["zoho-async", *(wrong.command_chain or ())])
    return f"{text} (`{command} --help` shows how)"
