"""The command line: subcommands, options, and what is said of wrong ones."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

from cyclopts import App, CycloptsError, Group, Parameter
from rich.console import Console

from zoho_async import __version__
from zoho_async.cli import outcome
from zoho_async.cli.connect import SANDBOX_SEED, Connection
from zoho_async.errors import ZohoError

_LIMITS: Final = Group("Limits", sort_key=2)
_ACCOUNT: Final = Group("Account", sort_key=1)

app: Final = App(
    name="zoho-async",
    version=__version__,
    help="Export Zoho Books: every row once, within Zoho's limits, resumable.",
    help_format="markdown",
    default_parameter=Parameter(negative=""),
)

#: The arguments of this process, for the sentence that says how to go on.
_arguments: list[str] = []


@app.command
def export(
    *resources: Annotated[
        str,
        Parameter(help="What to export, such as `invoices contacts`. None: every list there is."),
    ],
    to: Annotated[Path, Parameter(help="Directory for the files, `DIR/books/invoices.jsonl`.")],
    sandbox: Annotated[
        bool, Parameter(help="Export a made-up firm from a local sandbox; needs no account.")
    ] = False,
    json: Annotated[
        bool, Parameter(help="Print one JSON object at the end on stdout, and nothing else there.")
    ] = False,
    filter: Annotated[
        tuple[str, ...],
        Parameter(help="`name=value` for every list, such as `status=overdue`; may be repeated."),
    ] = (),
    fresh: Annotated[
        bool, Parameter(help="Start anew instead of going on with an interrupted export.")
    ] = False,
    organization: Annotated[
        str | None, Parameter(group=_ACCOUNT, help="Organization id; else `ZOHO_ORGANIZATION_ID`.")
    ] = None,
    region: Annotated[
        str | None,
        Parameter(
            group=_ACCOUNT,
            help="Data center of the account (`us`, `eu`, `in`, ...); else `ZOHO_REGION`.",
        ),
    ] = None,
    limit: Annotated[
        int,
        Parameter(
            group=_LIMITS, help="Calls a minute; Zoho allows 100 to all who use the organization."
        ),
    ] = 90,
    burst: Annotated[
        int, Parameter(group=_LIMITS, help="Calls that may go together; the rest comes evenly.")
    ] = 10,
    ledger: Annotated[
        Path | None,
        Parameter(
            group=_LIMITS,
            help="File that remembers calls across runs; else `ZOHO_ASYNC_LEDGER`, "
            "else a file in the user's state directory.",
        ),
    ] = None,
    minute: Annotated[
        float | None,
        Parameter(group=_LIMITS, help="Seconds in a sandbox's minute; for sandboxes only."),
    ] = None,
) -> int:
    """Export lists of an organization as JSON Lines, each row as Zoho wrote it, once.

    The account comes from the environment: `ZOHO_CLIENT_ID`, `ZOHO_CLIENT_SECRET`,
    `ZOHO_REFRESH_TOKEN`, `ZOHO_ORGANIZATION_ID`, `ZOHO_REGION`.

    An interrupted export goes on when the same command is run again; a finished one starts
    anew, and the old files stay until the new ones are complete.

    Examples:

    - Try it: `zoho-async export --sandbox --to demo`
    - Everything: `zoho-async export --to backup`
    - Two lists: `zoho-async export invoices contacts --to backup`
    - Some rows: `zoho-async export invoices --filter status=overdue --to overdue`
    - In a script: `zoho-async export --to backup --json | jq .rows`

    Exit codes: 0 done; 1 failed; 2 bad usage or configuration; 3 the day's calls are used up,
    run it again after the reset; 130 interrupted.
    """
    from zoho_async.cli.export import Order
    from zoho_async.cli.export import export as carry_out

    return carry_out(
        Order(resources=resources, to=to, filters=filter, fresh=fresh),
        Connection(
            sandbox=sandbox,
            organization=organization,
            region=region,
            limit=limit,
            burst=burst,
            minute=minute,
            ledger=ledger,
        ),
        environ=os.environ,
        command=_arguments,
        json=json,
    )


@app.command
def resources() -> int:
    """List what can be exported."""
    from zoho_async.export import exportable

    for name in exportable():
        print(name)
    return outcome.DONE


@app.command
def sandbox(
    *,
    host: Annotated[str, Parameter(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, Parameter(help="Port to listen on; 0 takes a free one.")] = 0,
    seed: Annotated[int, Parameter(help="Decides every record.")] = SANDBOX_SEED,
    size: Annotated[
        tuple[str, ...], Parameter(help="`RESOURCE=ROWS`, such as `invoices=200`; may be repeated.")
    ] = (),
    minute: Annotated[float, Parameter(help="Seconds in its minute.")] = 60.0,
    latency: Annotated[float, Parameter(help="Seconds until a reply leaves.")] = 0.0,
) -> int:
    """Serve a local Zoho with made-up data, and print the environment that points clients at it.

    Examples:

    - `zoho-async sandbox --port 8080`
    - A large one with a short minute: `zoho-async sandbox --size invoices=100000 --minute 2`
    """
    from zoho_async.cli.sandbox import parse_sizes, serve
    from zoho_async.sandbox import Sandbox

    served = Sandbox(
        seed=seed,
        sizes=parse_sizes(size),
        minute=minute,
        latency=latency,
        host=host,
        port=port,
    )
    return serve(served, port=port)


def run(arguments: Sequence[str]) -> int:
    """Carry out a command line; the exit code. Whatever is wrong with it is one sentence."""
    _arguments[:] = arguments
    try:
        code = app(
            arguments,
            error_console=Console(stderr=True),
            exit_on_error=False,
            print_error=False,
            result_action="return_value",
        )
    except CycloptsError as wrong:
        print(f"zoho-async: {_sentence(wrong)}", file=sys.stderr)
        return outcome.USAGE
    except ZohoError as error:
        print(f"zoho-async: {error}", file=sys.stderr)
        return outcome.exit_code(error)
    except KeyboardInterrupt:
        return outcome.INTERRUPTED
    except BrokenPipeError:  # whoever read stdout has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return outcome.FAILED
    return code if isinstance(code, int) else outcome.DONE


def _sentence(wrong: CycloptsError) -> str:
    """cyclopts' own words on one line, and where to learn more."""
    text = " ".join(str(wrong).split()).rstrip(".")
    return f"{text}; `zoho-async --help` shows how"
