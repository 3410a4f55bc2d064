"""The command with its subcommands, and the error for wrong usage."""

from __future__ import annotations

import os
import sys
from typing import Final

from cyclopts import App, CycloptsError, Parameter

from zoho_async import __version__
from zoho_async.cli import (
    account_commands,
    agent_commands,
    import_options,
    options,
    outcome,
    report_commands,
    sandbox_command,
)
from zoho_async.cli.config import read_config
from zoho_async.cli.connect import SANDBOX_LISTS, ConnectionOptions
from zoho_async.cli.outcome import Interrupted
from zoho_async.cli.safe import discard_stdout, print, replace_unencodable
from zoho_async.cli.webhooks_app import webhooks_app
from zoho_async.errors import ZohoError
from zoho_async.export.options import ExportOptions
from zoho_async.importer.options import ImportOptions

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
app.command(webhooks_app)
app.command(report_commands.report, help_epilogue=report_commands.REPORT_EPILOGUE)
app.command(report_commands.verify, help_epilogue=report_commands.VERIFY_EPILOGUE)
app.command(account_commands.login)
app.command(account_commands.logout)
app.command(account_commands.whoami)
app.command(
    account_commands.doctor,
    help_epilogue="For example: `zoho-async doctor invoices --to books.duckdb`",
)
app.command(
    account_commands.scopes,
    help_epilogue="For example: `zoho-async scopes contacts invoices.create`",
)
app.command(agent_commands.mcp, help_epilogue=agent_commands.MCP_EPILOGUE)
app.command(agent_commands.approve, help_epilogue="For example: `zoho-async approve 1f09ab3c`")
app.command(sandbox_command.sandbox, help_epilogue=sandbox_command.SANDBOX_EPILOGUE)


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
