"""The subcommands, and the error for wrong usage."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

from cyclopts import App, CycloptsError, Parameter

from zoho_async import __version__
from zoho_async.cli import import_options, options, outcome
from zoho_async.cli.config import read_config
from zoho_async.cli.connect import SANDBOX_LISTS, SANDBOX_SEED, ConnectionOptions
from zoho_async.cli.outcome import Interrupted
from zoho_async.cli.safe import discard_stdout, print, replace_unencodable
from zoho_async.errors import ZohoError
from zoho_async.export.options import ExportOptions
from zoho_async.importer.options import ImportOptions

if TYPE_CHECKING:
    from zoho_async.cli.webhooks import WebhooksCommand

app: Final = App(
    name="zoho-async",
    version=__version__,
    help="Export, list and call Zoho Books, Invoice, Billing and Inventory.",
    help_epilogue="Try it without an account: `zoho-async export --sandbox --to demo`",
    help_format="markdown",
    default_parameter=Parameter(negative="", show_default=False),
    config=read_config,
)

limits_app: Final = App(name="limits")
app.command(limits_app)
webhooks_app: Final = App(
    name="webhooks",
    help="Install, list and remove webhooks of Books and Inventory.",
    help_epilogue=options.WEBHOOKS_EPILOGUE,
)
app.command(webhooks_app)


@app.command(help_epilogue=options.EXPORT_EPILOGUE)
def export(
    *resources: options.Resource,
    to: options.To,
    config: options.ConfigFile = None,
    wanted: options.ExportArguments = ExportOptions(),  # noqa: B008 - a frozen value
    json: options.AsJson = False,
    plan_only: options.PlanOnly = False,
    all_organizations: options.AllOrganizations = False,
    connection: options.ConnectionArguments = ConnectionOptions(),  # noqa: B008
) -> int:
    """Export lists to files or a database. Each row is written once.

    The first run reads everything. Run the same command again to continue an interrupted export or
    to read what changed. `zoho-async login` sets up the account.

    - Everything, to files: `zoho-async export --to backup`
    - Some lists, to a database: `zoho-async export invoices contacts --to books.duckdb`
    - With line items and PDFs: `zoho-async export invoices --details --files --to backup`
    - Some columns: `zoho-async export contacts --exclude "*:notes" --hash "*:email" --to backup`
    - Later runs write changes to other files. To combine them: `zoho-async merge backup`
    """
    from zoho_async.cli.export import ExportCommand
    from zoho_async.cli.whoami import note_if_overruled

    # The file of `config` was read before (`zoho_async.cli.config`).
    note_if_overruled(connection.profile)
    command = ExportCommand(
        resources=resources or (SANDBOX_LISTS if connection.sandbox else ()),
        to=to,
        options=wanted,
        connection=connection,
        all_organizations=all_organizations,
        arguments=sys.argv[1:],
        plan_only=plan_only,
    )
    return command.run(os.environ, json=json)


@app.command(name="import", help_epilogue=import_options.IMPORT_EPILOGUE)
def import_(
    file: import_options.ImportFile = None,
    /,
    *,
    to: import_options.ImportTo = None,
    wanted: import_options.ImportArguments = ImportOptions(),  # noqa: B008 - a frozen value
    mapping: import_options.MappingFile = None,
    errors: import_options.ErrorsFile = None,
    plan_only: import_options.ImportPlanOnly = False,
    undo: import_options.UndoJob = None,
    json: options.AsJson = False,
    journal: import_options.JournalFile = None,
    sheet: import_options.Sheet = None,
    settle: import_options.Decisions = (),
    connection: options.ConnectionArguments = ConnectionOptions(),  # noqa: B008
) -> int:
    """Import the rows of a file as records. No row is written twice.

    The whole file is checked before anything is written. Run the same command again to continue an
    interrupted import.

    - Check: `zoho-async import contacts.csv --to contacts --plan-only`
    - Import: `zoho-async import contacts.csv --to contacts`
    - Delete what an import created: `zoho-async import --undo JOB`
    """
    from zoho_async.cli.import_ import ImportCommand
    from zoho_async.cli.whoami import note_if_overruled

    note_if_overruled(connection.profile)
    command = ImportCommand(
        file=file,
        to=to,
        options=wanted,
        connection=connection,
        mapping=mapping,
        errors=errors,
        journal=journal,
        sheet=sheet,
        decisions=settle,
        undo=undo,
        plan_only=plan_only,
    )
    return command.run(os.environ, json=json)


@app.command(help_epilogue="For example: `zoho-async merge backup`")
def merge(
    directory: options.MergeDirectory,
    *,
    format: options.FileFormat = None,
    flatten: options.Flatten = False,
    json: options.AsJson = False,
) -> int:
    """Combine an export and its later changes into one file per list. Makes no API calls."""
    from zoho_async.cli.export import merge_files

    return merge_files(directory, format, flatten=flatten, json=json)


@app.command(help_epilogue="For example: `zoho-async probe invoices contacts --to backup`")
def probe(
    *resources: options.Probed,
    to: options.ProbeTo = None,
    json: options.AsJson = False,
    connection: options.ConnectionArguments = ConnectionOptions(),  # noqa: B008
) -> int:
    """Test which lists can be filtered by change. Makes up to 3 API calls per list."""
    from zoho_async.cli.probe import probe_lists
    from zoho_async.cli.whoami import note_if_overruled

    note_if_overruled(connection.profile)
    lists = resources or (SANDBOX_LISTS if connection.sandbox else ())
    return probe_lists(lists, to, connection, environ=os.environ, json=json)


@limits_app.default
def limits(
    *,
    watch: options.Watch = False,
    json: options.AsLine = False,
    connection: options.ConnectionArguments = ConnectionOptions(),  # noqa: B008
) -> int:
    """Show how much of the limits is used. Makes no API calls."""
    from zoho_async.cli.limits import limits as show

    return show(connection, environ=os.environ, watch=watch, json=json)


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
    connection: options.ConnectionArguments = ConnectionOptions(),  # noqa: B008
) -> int:
    """Show the rows of a list: a table in a terminal, JSON Lines in a pipe."""
    from zoho_async.cli.list import ListOptions, list_rows

    return list_rows(
        ListOptions(
            resource=resource,
            filters=options.read_pairs(filter, "--filter"),
            rows=rows,
            columns=columns,
            form=output,
        ),
        connection,
        environ=os.environ,
        dry_run=dry_run,
    )


@app.command(help_epilogue=options.REPORT_EPILOGUE)
def report(
    name: options.ReportName = None,
    *,
    from_: options.ReportFrom = None,
    to: options.ReportTo = None,
    period: options.ReportPeriod = None,
    by: options.ReportBy = None,
    basis: options.ReportBasis = None,
    filter: options.ReportFilters = (),
    columns: options.Columns = (),
    output: options.Output = None,
    allow_unconfirmed: options.AllowUnconfirmed = False,
    table: options.ReportTable = None,
    closed_after: options.ClosedAfter = None,
    full: options.FullTable = False,
    format: options.TableFormat = None,
    connection: options.ConnectionArguments = ConnectionOptions(),  # noqa: B008
) -> int:
    """Show a report: profit and loss, balance sheet, aging. Without a name, list the reports."""
    from zoho_async.cli.report import ReportCommand, list_reports, show_report

    if name is None:
        return list_reports(json=output in ("json", "jsonl"))
    return show_report(
        ReportCommand(
            name=name,
            first=from_,
            last=to,
            period=period,
            by=by,
            basis=basis,
            query=options.read_pairs(filter, "--filter"),
            columns=columns,
            form=output,
            allow_unconfirmed=allow_unconfirmed,
            table=table,
            closed_after=closed_after,
            full=full,
            format=format,
        ),
        connection,
        environ=os.environ,
    )


@app.command(help_epilogue=options.VERIFY_EPILOGUE)
def verify(
    mirror: options.Mirror,
    *,
    from_: options.VerifyFrom = None,
    to: options.VerifyTo = None,
    by: options.VerifyBy = "year",
    certificate: options.CertificateFile = None,
    json: options.AsJson = False,
    plan_only: options.VerifyPlanOnly = False,
    connection: options.ConnectionArguments = ConnectionOptions(),  # noqa: B008
) -> int:
    """Compare an export with Zoho's own reports, to the cent.

    Account transactions are compared with the trial balance, open invoices and bills with the
    aging, the stock with the inventory summary, and the number of records with Zoho's totals.
    """
    from zoho_async.cli.verify import VerifyCommand, verify_mirror
    from zoho_async.cli.whoami import note_if_overruled

    note_if_overruled(connection.profile)
    command = VerifyCommand(
        mirror=mirror,
        first=from_,
        last=to,
        by=by,
        certificate=certificate,
        json=json,
        plan_only=plan_only,
    )
    return verify_mirror(command, connection, environ=os.environ)


@app.command(help_epilogue=options.CALL_EPILOGUE)
def call(
    method: options.HttpMethod,
    path: options.ApiPath,
    *,
    query: options.Query = (),
    body: options.Body = None,
    product: options.ProductName = "books",
    dry_run: options.DryRun = False,
    connection: options.ConnectionArguments = ConnectionOptions(),  # noqa: B008
) -> int:
    """Call any API path within the limits and print the JSON reply."""
    from zoho_async.cli.call import CallOptions, full_path, read_body
    from zoho_async.cli.call import call as run_call

    return run_call(
        CallOptions(
            method=method,
            path=full_path(path),
            query=options.read_pairs(query, "--query"),
            body=read_body(body),
            product=product,
        ),
        connection,
        environ=os.environ,
        dry_run=dry_run,
    )


@webhooks_app.command(help_epilogue=options.WEBHOOKS_EPILOGUE)
def install(
    *,
    url: options.HookUrl,
    module: options.HookModules,
    events: options.HookEvents = "created,edited,deleted",
    product: options.HookProduct = "books",
    dry_run: options.HookDryRun = False,
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
    product: options.HookProduct = "books",
    output: options.Output = None,
    connection: options.ConnectionArguments = ConnectionOptions(),  # noqa: B008
) -> int:
    """Show all webhooks with their rules and state, also those of others."""
    from zoho_async.cli.webhooks import list_webhooks as show

    return show(_webhooks_command(product, connection), output)


@webhooks_app.command
def remove(
    *ids: options.HookIds,
    url: options.RemovedUrl = None,
    module: options.HookModules = (),
    product: options.HookProduct = "books",
    yes: options.Yes = False,
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


@app.command
def resources(*, json: options.AsLines = False) -> int:
    """Show the lists that can be exported and whether they can be proven complete."""
    from zoho_async.cli.resources import list_resources

    return list_resources(json=json)


@app.command(help_epilogue="For example: `zoho-async schema invoices --to books.duckdb`")
def schema(
    *resources: options.Resource, to: options.SchemaOf = None, json: options.AsLines = False
) -> int:
    """Show the columns of each list and their types, or a JSON Schema per list with `--json`.

    Makes no API calls.
    """
    from zoho_async.cli.schema import show

    return show(resources, to, json=json)


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
    device: options.OnDevice = False,
    port: options.CallbackPort = None,
    keyring: options.UseKeyring = True,
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


@app.command
def logout(*, profile: options.ProfileName = None) -> int:
    """Revoke the refresh token of a saved account and delete the account."""
    from zoho_async.cli import whoami as who

    return who.logout(profile, os.environ)


@app.command
def whoami(*, profile: options.ProfileName = None, json: options.AsJsonLine = False) -> int:
    """Show the account: region, scopes, organizations, token age and daily quota."""
    from zoho_async.cli import whoami as who

    who.note_if_overruled(profile)
    return who.whoami(profile, os.environ, json=json)


@app.command(help_epilogue="For example: `zoho-async doctor invoices --to books.duckdb`")
def doctor(
    *resources: options.Checked,
    profile: options.ProfileName = None,
    to: options.CheckedTo = None,
    json: options.AsJsonLine = False,
) -> int:
    """Check what an export needs, and say what to do: account, network, clock, limits, destination.

    Makes one API call, and needs no account to begin with. Ends with code 1 if a check failed.
    """
    from zoho_async.cli.doctor import doctor as examine

    return examine(resources, profile, os.environ, to=to, json=json)


@app.command(help_epilogue="For example: `zoho-async scopes contacts invoices.create`")
def scopes(*resources: options.Scoped, write: options.Write = False) -> int:
    """Print the scopes that a job needs, in the form that the API console takes."""
    from zoho_async.description import scopes_for

    print(",".join(scopes_for(resources or ["books"], write=write)))
    return outcome.DONE


@app.command(help_epilogue=options.MCP_EPILOGUE)
def mcp(
    *,
    mirror: options.MirrorFile = None,
    allow_deletes: options.AllowDeletes = False,
    confirm_in_client: options.ConfirmInClient = False,
    uploads: options.UploadFolders = (),
    http: options.HttpPort = None,
    connection: options.ConnectionArguments = ConnectionOptions(),  # noqa: B008
) -> int:
    """Serve the books to an agent over the Model Context Protocol, within the limits.

    The agent reads lists, records and reports, and queries an export with SQL. It can propose
    writes, which `zoho-async approve` shows and sends.
    """
    from zoho_async.cli.mcp import McpOptions, serve
    from zoho_async.cli.whoami import note_if_overruled

    note_if_overruled(connection.profile)
    wanted = McpOptions(
        mirror=mirror,
        allow_deletes=allow_deletes,
        confirm_in_client=confirm_in_client,
        uploads=uploads,
        http=http,
    )
    return serve(wanted, connection, environ=os.environ)


@app.command(help_epilogue="For example: `zoho-async approve 1f09ab3c`")
def approve(
    proposal: options.ProposalId = None,
    *,
    connection: options.ConnectionArguments = ConnectionOptions(),  # noqa: B008
) -> int:
    """Show what an agent proposed, ask, and write it once. Without an id, list the proposals.

    Run it again if the outcome is not known: it looks for evidence and sends nothing twice.
    """
    from zoho_async.cli.approve import approve_proposal, list_proposals
    from zoho_async.cli.whoami import note_if_overruled

    if proposal is None:
        return list_proposals(os.environ)
    note_if_overruled(connection.profile)
    return approve_proposal(proposal, connection, environ=os.environ)


@app.command(help_epilogue=options.SANDBOX_EPILOGUE)
def sandbox(
    *,
    host: options.Host = "127.0.0.1",
    port: options.Port = 8080,
    open_to_network: options.ToNetwork = False,
    allowed_host: options.AllowedHosts = (),
    webhook_host: options.WebhookHosts = (),
    seed: options.Seed = SANDBOX_SEED,
    size: options.Sizes = (),
    organization: options.Organizations = (),
    plan: options.SandboxPlan = "premium",
    minute: options.Minute = 60.0,
    speed: options.Speed = 1.0,
    latency: options.Latency = "0",
    faults: options.FaultsFile = None,
    snapshot: options.SnapshotFile = None,
) -> int:
    """Serve a local Zoho with sample data and print the environment for its clients.

    Its address opens a page with its records, calls, limits and faults.
    """
    from zoho_async.cli.sandbox import SandboxOptions, serve

    return serve(
        SandboxOptions(
            host=host,
            port=port,
            open_to_network=open_to_network,
            allowed_hosts=allowed_host,
            webhook_hosts=webhook_host,
            seed=seed,
            sizes=size,
            organizations=organization,
            plan=plan,
            minute=minute,
            speed=speed,
            latency=latency,
            faults=faults,
            snapshot=snapshot,
        )
    )


@app.command(help_epilogue=options.COMPLETION_EPILOGUE)
def completion(shell: options.Shell) -> int:
    """Print the completion script for a shell."""
    print(app.generate_completion(shell=shell))
    return outcome.DONE


def run() -> int:
    """Run the command line and return the exit code. An error is one sentence."""
    replace_unencodable()
    code = _run()
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        discard_stdout()
    return code


def _run() -> int:
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
    except BrokenPipeError:  # as with ``| head -1``: the reader has what it wants
        discard_stdout()
        return outcome.DONE
    return code if isinstance(code, int) else outcome.DONE


def _say(sentence: str) -> None:
    print(f"zoho-async: {sentence}", file=sys.stderr)


def _sentence(wrong: CycloptsError) -> str:
    """The message of cyclopts on one line, with the command that shows help."""
    text = " ".join(str(wrong).split()).rstrip(".")
    command = " ".join(["zoho-async", *(wrong.command_chain or ())])
    return f"{text} (see `{command} --help`)"
