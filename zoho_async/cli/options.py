"""The options of the subcommands: types and help texts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Final,
    Literal,
    TypeAlias,
    TypeVar,
    cast,
    get_type_hints,
)

from cyclopts import Group, Parameter, Token
from cyclopts.completion import CompletionContext
from cyclopts.validators import Number

from zoho_async.cli.connect import ConnectionOptions
from zoho_async.cli.output import Form
from zoho_async.errors import ConfigurationError
from zoho_async.export.catalog import all_lists, exportable
from zoho_async.export.options import ExportOptions, FormatName
from zoho_async.export.outcomes import EXIT_CODES

T = TypeVar("T")

_MORE: Final = Group("More options", sort_key=1)
_COLUMNS: Final = Group("Columns", sort_key=2)
_TABLE: Final = Group("Table", sort_key=2)
_COMPLETE: Final = Group("Completeness", sort_key=2)
_ACCOUNT: Final = Group("Account", sort_key=3)
_LIMITS: Final = Group("Limits", sort_key=4)


def _help(text: str, group: Group | None = None, *, default: bool = False) -> Parameter:
    """The help text of an option; ``default`` shows its default too."""
    if group is None:
        return Parameter(help=text, show_default=default)
    return Parameter(help=text, show_default=default, group=group)


def _annotated(options: type[T], parameters: Mapping[str, Any]) -> type[T]:
    """``options`` as a type whose fields are options of a command.

    The help of a field is its docstring. ``parameters`` holds what else cyclopts needs to know of a
    field: a `Parameter`, or a type that says how to read it.
    """
    hints = get_type_hints(options)
    annotations = {
        name: Annotated[hints[name], one] if isinstance(one, Parameter) else one
        for name, one in parameters.items()
    }
    made = type(options.__name__, (options,), {"__annotations__": annotations})
    return cast("type[T]", made)


# -- values ---------------------------------------------------------------------------------------


def read_pairs(texts: Iterable[str], option: str) -> dict[str, str]:
    """``["status=overdue"]`` as a mapping. Raises `ConfigurationError` for any other text."""
    pairs: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise ConfigurationError(f"{option} takes name=value, got {text!r}")
        pairs[name] = value
    return pairs


def _pairs(_: object, tokens: Sequence[Token]) -> dict[str, str]:
    return read_pairs((token.value for token in tokens), tokens[0].keyword or "")


def parse_since(text: str) -> date:
    """The date or the time that ``--since`` means. Raises `ConfigurationError`."""
    try:
        day = date.fromisoformat(text)
        if day.year > 1:  # the first year has no midnight in some zones
            return day
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ConfigurationError(
            "--since takes a date such as 2026-01-31, or a time with its offset such as "
            f"2026-01-31T00:00:00+0100, got {text!r}"
        )
    return moment


def _since(_: object, tokens: Sequence[Token]) -> date:
    return parse_since(tokens[-1].value)


class _Converted:
    """Keep pydantic, if the program imports it, from checking a converted value by its text type.

    cyclopts has pydantic check each value as soon as pydantic is imported.
    """

    def __get_pydantic_core_schema__(self, *_: object) -> dict[str, str]:
        return {"type": "any"}


# -- export, merge and probe ----------------------------------------------------------------------

if TYPE_CHECKING:
    ExportArguments: TypeAlias = ExportOptions
    ConnectionArguments: TypeAlias = ConnectionOptions
else:
    ExportArguments = Annotated[
        _annotated(
            ExportOptions,
            {
                "since": Annotated[str | None, Parameter(converter=_since), _Converted()],
                "filter": Annotated[tuple[str, ...], Parameter(converter=_pairs), _Converted()],
                "files_to": Annotated[Path | None, Parameter(group=_MORE)],
                **dict.fromkeys(
                    (
                        "change_feed",
                        *(
                            "format",
                            "flatten",
                            "excel",
                            "restart",
                            "max_calls",
                            "max_deletion_checks",
                        ),
                        *("until_done", "refresh_children"),
                    ),
                    Parameter(group=_MORE),
                ),
                **dict.fromkeys(("select", "exclude", "hash", "mask"), Parameter(group=_COLUMNS)),
                **dict.fromkeys(("strict", "accept", "accept_shorter"), Parameter(group=_COMPLETE)),
            },
        ),
        Parameter(name="*"),
    ]
    ConnectionArguments = Annotated[
        _annotated(
            ConnectionOptions,
            {
                **dict.fromkeys(("profile", "organization", "region"), Parameter(group=_ACCOUNT)),
                **dict.fromkeys(("limit", "burst"), Parameter(group=_LIMITS, show_default=True)),
                **dict.fromkeys(("plan", "ledger", "redis", "minute"), Parameter(group=_LIMITS)),
            },
        ),
        Parameter(name="*"),
    ]


def _offer(names: Callable[[], Iterable[str]]) -> Parameter:
    """Offer ``names`` to the shell. ``books.`` is left out unless the user typed it."""

    def complete(context: CompletionContext) -> list[str]:
        prefix = "" if context.incomplete.startswith("b") else "books."
        return [name.removeprefix(prefix) for name in names()]

    return Parameter(completer=complete)


Resource: TypeAlias = Annotated[
    str,
    _help("Lists to export, such as `invoices contacts`. Default: all lists."),
    _offer(all_lists),
]
Probed: TypeAlias = Annotated[
    str,
    _help("Lists to test, such as `invoices contacts`. Default: all lists."),
    _offer(exportable),
]
To: TypeAlias = Annotated[
    str,
    _help(
        "A directory, `FILE.duckdb`, `FILE.sqlite`, `FILE.xlsx`, for one list also `FILE.csv`, "
        "`FILE.parquet` or `FILE.jsonl`, or `postgresql://USER@HOST/DATABASE`."
    ),
]
AsJson: TypeAlias = Annotated[bool, _help("Print one JSON object to stdout at the end.")]
ConfigFile: TypeAlias = Annotated[
    Path | None,
    _help("TOML file with these options, `lists` and `to`. The command line wins."),
]
PlanOnly: TypeAlias = Annotated[
    bool,
    _help("Print the calls, time and days that the export takes. Writes nothing, makes few calls."),
]
FileFormat: TypeAlias = Annotated[
    FormatName | None, _help("File format. A directory keeps its format.")
]
Flatten: TypeAlias = Annotated[
    bool,
    _help("Write nested lists to separate files, such as `invoices__line_items.csv`."),
]
MergeDirectory: TypeAlias = Annotated[str, _help("Directory that `zoho-async export` wrote.")]
ProbeTo: TypeAlias = Annotated[
    str | None,
    _help("Destination of the exports. The result is saved there and later exports use it."),
]
AllOrganizations: TypeAlias = Annotated[
    bool,
    _help(
        "Export every organization of the user, each to its own `DIR/<organization>`, "
        "`FILE-<organization>.duckdb` or schema `zoho_<organization>`.",
        _ACCOUNT,
    ),
]
FreshServer: TypeAlias = Annotated[
    str | None,
    _help("Redis server, `redis://HOST:6379/0`. Default: `ZOHO_REDIS_URL`.", _LIMITS),
]

Watch: TypeAlias = Annotated[bool, _help("Refresh twice a second until interrupted.")]
AsLine: TypeAlias = Annotated[bool, _help("Print one JSON object per refresh.")]

EXPORT_EPILOGUE: Final = """
**More examples**

- daily with few calls: `zoho-async export --change-feed --to books.sqlite`
- deleted records too, for example each week: `zoho-async export --detect-deletions --to backup`
- all details, over several days if needed:
  `zoho-async export invoices --details --until-done --to backup`
- the comments of invoices: `zoho-async export invoices.comments --to backup`;
  `--refresh-children all` reads those of every unchanged invoice again, too
- some rows: `zoho-async export invoices --filter status=overdue --to overdue`
- every organization: `zoho-async export --all-organizations --to backup`
- a spreadsheet: `zoho-async export invoices contacts --flatten --to books.xlsx`
- one list in one file: `zoho-async export invoices --to invoices.csv`; `--excel` for Excel
- typed files: `zoho-async export --format parquet --to backup`; `--flatten` adds child tables
- PostgreSQL: `zoho-async export --to postgresql://me@db/books`, with the password in `PGPASSWORD`
  or `.pgpass`
- in a script: `zoho-async export --to backup --json | jq .rows`

**Exit codes**

""" + "\n".join(f"- {code}: {meaning}" for code, meaning in sorted(EXIT_CODES.items()))

# -- call and list ------------------------------------------------------------------------------

Listed: TypeAlias = Annotated[
    str, _help("A list, such as `invoices` or `inventory.items`."), _offer(exportable)
]
Rows: TypeAlias = Annotated[
    int | None,
    Parameter(
        help="The most rows. Default: 25 in a table, all otherwise.",
        validator=Number(gte=1),
        show_default=False,
    ),
]
Columns: TypeAlias = Annotated[
    tuple[str, ...], _help("Field to show in a table or CSV. Repeatable.")
]
Output: TypeAlias = Annotated[
    Form | None, _help("`table`, `csv`, `json` (one array) or `jsonl` (one row per line).")
]
DryRun: TypeAlias = Annotated[bool, _help("Print the request without its token. Send nothing.")]

# -- reports ------------------------------------------------------------------------------------


def _day(_: object, tokens: Sequence[Token]) -> date:
    token = tokens[-1]
    try:
        return date.fromisoformat(token.value)
    except ValueError:
        raise ConfigurationError(
            f"{token.keyword} takes a date such as 2026-01-31, got {token.value!r}"
        ) from None


def _day_option(name: str, text: str) -> Parameter:
    return Parameter(name=name, help=text, converter=_day, show_default=False)


def _report_names() -> Iterable[str]:
    from zoho_async.export.report_catalog import all_reports

    return all_reports()


ReportName: TypeAlias = Annotated[
    str | None, _help("A report, such as `profit-and-loss`."), _offer(_report_names)
]
ReportFrom: TypeAlias = Annotated[date | None, _day_option("--from", "First day, `2026-01-01`.")]
ReportTo: TypeAlias = Annotated[
    date | None, _day_option("--to", "Last day, or the day of a balance sheet.")
]
ReportPeriod: TypeAlias = Annotated[
    Literal[
        "today",
        "this-week",
        "this-month",
        "this-quarter",
        "this-year",
        "previous-day",
        "previous-week",
        "previous-month",
        "previous-quarter",
        "previous-year",
    ]
    | None,
    _help("A period instead of dates, in the organization's time zone: `previous-month`."),
]
ReportBy: TypeAlias = Annotated[
    Literal["month", "quarter", "year"] | None,
    _help(
        "One column (with `--table` one period) per `month`, `quarter` or `year`. Makes one API "
        "call for each."
    ),
]
ReportBasis: TypeAlias = Annotated[
    Literal["accrual", "cash"] | None, _help("`accrual` or `cash`. Default: the organization's.")
]
ReportFilters: TypeAlias = Annotated[
    tuple[str, ...], _help("`NAME=VALUE` for the query string, by Zoho's names. Repeatable.")
]
AllowUnconfirmed: TypeAlias = Annotated[
    bool, _help("Show a report whose reply does not repeat its period.")
]

ReportTable: TypeAlias = Annotated[
    str | None,
    _help(
        "Write one row per line and period to a table, in any place that `export --to` takes: "
        "`books.duckdb`, `profit.csv`, a directory. Run again to update it.",
        _TABLE,
    ),
]
ClosedAfter: TypeAlias = Annotated[
    int | None,
    _help(
        "Days after the end of a period. If it was read later than that, it is not read again. "
        "Default: 31.",
        _TABLE,
    ),
]
FullTable: TypeAlias = Annotated[
    bool, _help("Read closed periods again, and let fewer days of a period replace more.", _TABLE)
]
TableFormat: TypeAlias = Annotated[
    FormatName | None, _help("File format. A directory keeps its format.", _TABLE)
]

REPORT_EPILOGUE: Final = """
**Examples**

- by month: `zoho-async report profit-and-loss --from 2026-01-01 --to 2026-03-31 --by month`
- as of a day: `zoho-async report balance-sheet --to 2026-03-31`
- for a spreadsheet: `zoho-async report sales-by-customer --period this-year --output csv`
- as a table: `zoho-async report profit-and-loss --from 2026-01-01 --to 2026-12-31 --by month
  --basis accrual --table books.duckdb`
- the names of all reports: `zoho-async report`
"""

Mirror: TypeAlias = Annotated[
    str,
    Parameter(
        help="Destination of the export: a directory, `FILE.sqlite`, `FILE.duckdb` or a URL."
    ),
]
VerifyFrom: TypeAlias = Annotated[
    date | None,
    _day_option("--from", "First day of the account transactions to compare. Default: all."),
]
VerifyTo: TypeAlias = Annotated[
    date | None, _day_option("--to", "Last day, before today. Default: the end of last month.")
]
VerifyBy: TypeAlias = Annotated[
    Literal["month", "quarter", "year"],
    _help("Length of the periods in which accounts are compared. Default: year."),
]
CertificateFile: TypeAlias = Annotated[
    Path | None, _help("Write the result to this file: `FILE.md` to read, or `FILE.json`.")
]
VerifyPlanOnly: TypeAlias = Annotated[bool, _help("Print the number of API calls. Makes none.")]
VERIFY_EPILOGUE: Final = """
**Examples**

- with a certificate: `zoho-async verify books.sqlite --certificate books-2026-10.md`
- one year by month: `zoho-async verify backup --from 2026-01-01 --to 2026-10-31 --by month`
- its price: `zoho-async verify books.sqlite --plan-only`

**Exit codes**: 0 everything that could be compared agrees; 5 a record differs; 6 nothing could be
compared with Zoho; others as for `export`.
"""

HttpMethod: TypeAlias = Annotated[str, _help("`GET`, `POST`, `PUT` or `DELETE`.")]
ApiPath: TypeAlias = Annotated[str, _help("Path after the API version, such as `/contacts/123`.")]
Query: TypeAlias = Annotated[
    tuple[str, ...], _help("`NAME=VALUE` for the query string. Repeatable.")
]
Filters: TypeAlias = Annotated[
    tuple[str, ...], _help("`NAME=VALUE`, such as `status=overdue`. Repeatable.")
]
Body: TypeAlias = Annotated[
    str | None, _help("JSON to send. `@FILE` reads a file, `@-` reads stdin.")
]
ProductName: TypeAlias = Annotated[
    str, _help("`books`, `invoice`, `billing` or `inventory`.", default=True)
]

# -- webhooks -------------------------------------------------------------------------------------

HookUrl: TypeAlias = Annotated[
    str, _help("Address of the receiver, `https://HOST/hooks`. The command adds `event_type`.")
]
RemovedUrl: TypeAlias = Annotated[str | None, _help("Remove what was installed with this address.")]
HookModules: TypeAlias = Annotated[
    tuple[str, ...],
    Parameter(
        name="--module",
        help="`invoices`, `contacts`, ..., or a custom module: `cm_...`. Repeatable.",
        show_default=False,
    ),
]
HookEvents: TypeAlias = Annotated[
    str, _help("`created`, `edited`, `deleted`, joined by commas.", default=True)
]
HookProduct: TypeAlias = Annotated[
    Literal["books", "inventory", "invoice", "billing"],
    _help("`books` or `inventory`. For others, webhooks are set in Zoho's web app.", default=True),
]
HookIds: TypeAlias = Annotated[str, _help("Ids of webhooks, also of others.")]
HookDryRun: TypeAlias = Annotated[
    bool, _help("Print the requests without the secret. Only reads what exists.")
]
Yes: TypeAlias = Annotated[bool, _help("Do not ask.")]

WEBHOOKS_EPILOGUE: Final = """
**Examples**

- new and changed invoices: `zoho-async webhooks install --url https://example.com/hooks --module
  invoices --events created,edited`
- what exists: `zoho-async webhooks list`
- remove it: `zoho-async webhooks remove --url https://example.com/hooks`
"""

Shell: TypeAlias = Annotated[
    Literal["bash", "zsh", "fish", "powershell"], _help("The shell to complete in.")
]

COMPLETION_EPILOGUE: Final = """
**Examples**

- bash: `zoho-async completion bash > ~/.local/share/bash-completion/completions/zoho-async`
- fish: `zoho-async completion fish > ~/.config/fish/completions/zoho-async.fish`
"""

LIST_EPILOGUE: Final = """
**Examples**

- in a terminal: `zoho-async list invoices --filter status=overdue`
- for a script: `zoho-async list items --rows 1000 | jq -r .name`
- for a spreadsheet: `zoho-async list items --output csv > items.csv`
- without an account: `zoho-async list contacts --sandbox`
"""

CALL_EPILOGUE: Final = """
**Examples**

- read: `zoho-async call GET /settings/preferences`
- request only: `zoho-async call POST /contacts --body '{"contact_name": "Acme"}' --dry-run`
- another product: `zoho-async call GET /plans --product billing`
"""

# -- sandbox ------------------------------------------------------------------------------------

Host: TypeAlias = Annotated[str, _help("Address to listen on.", default=True)]
Port: TypeAlias = Annotated[
    int,
    Parameter(
        help="Port to listen on. 0 takes a free port.",
        show_default=True,
        validator=Number(gte=0, lte=65_535),
    ),
]
Seed: TypeAlias = Annotated[
    int, _help("Seed of the sample data. The same seed makes the same records.", default=True)
]
Sizes: TypeAlias = Annotated[
    tuple[str, ...], _help("`RESOURCE=ROWS`, such as `invoices=200`. Repeatable.")
]
Minute: TypeAlias = Annotated[
    float,
    _help(
        "Length of its minute in seconds. Clients need the same (`export --minute`).", default=True
    ),
]
Latency: TypeAlias = Annotated[
    str,
    _help(
        "Seconds before each reply: `0.3`, a range `0.1:0.5`, or a long tail `tail:0.3`.",
        default=True,
    ),
]
Organizations: TypeAlias = Annotated[tuple[str, ...], _help("Id of an organization. Repeatable.")]
SandboxPlan: TypeAlias = Annotated[
    str, _help("Zoho plan, which sets the daily and concurrent limits.", default=True)
]
Speed: TypeAlias = Annotated[
    float, _help("Speed of its clock: at 60, its minute takes a second.", default=True)
]
FaultsFile: TypeAlias = Annotated[
    Path | None, _help("TOML file of `[[fault]]` tables: what fails, where and how often.")
]
ToNetwork: TypeAlias = Annotated[
    bool,
    _help("Let other machines connect. The sandbox's secrets are public."),
]
AllowedHosts: TypeAlias = Annotated[
    tuple[str, ...],
    _help("Host name that requests may use, such as a container's. Repeatable."),
]
WebhookHosts: TypeAlias = Annotated[
    tuple[str, ...],
    _help("Host that webhooks may be sent to, in addition to loopback. Repeatable."),
]
SnapshotFile: TypeAlias = Annotated[
    Path | None,
    _help(
        "Load the records of this file if it exists, and save them there when the sandbox stops."
    ),
]

MirrorFile: TypeAlias = Annotated[
    Path | None,
    _help("SQLite or DuckDB file of `zoho-async export`, for SQL without API calls."),
]

AllowDeletes: TypeAlias = Annotated[bool, _help("Let the agent propose deletes too.")]
ConfirmInClient: TypeAlias = Annotated[
    bool,
    _help(
        "Let the client ask its user to approve proposals. Only for clients that ask a person and "
        "never answer by themselves."
    ),
]
UploadFolders: TypeAlias = Annotated[
    tuple[Path, ...],
    _help("Folder whose files the agent can propose to upload. Repeatable."),
]
HttpPort: TypeAlias = Annotated[
    int | None,
    _help(
        "Serve HTTP on this port of 127.0.0.1 instead of standard input and output. Clients need "
        "the bearer token in `ZOHO_MCP_TOKEN`, or in a file that the first start creates."
    ),
]
ProposalId: TypeAlias = Annotated[str | None, _help("Id of the proposal.")]

MCP_EPILOGUE: Final = """
**Examples**

- with SQL on an export: `zoho-async mcp --mirror books.duckdb`
- try it without an account: `zoho-async mcp --sandbox`
"""

SANDBOX_EPILOGUE: Final = """
**Examples**

- more data, faster: `zoho-async sandbox --size invoices=20000 --speed 60`
- the limits of the free plan: `zoho-async sandbox --organization 111 --plan free`
- records to share: `zoho-async sandbox --snapshot books.jsonl`
- with faults: `zoho-async sandbox --faults faults.toml`, with lines such as
  `[[fault]]`, `kind = "status"`, `status = 503`, `path = "*/invoices"`, `probability = 0.05`,
  `times = "always"`
"""

# -- accounts -----------------------------------------------------------------------------------

Scoped: TypeAlias = Annotated[
    str,
    _help(
        "What the token is for: `books`, `invoices` or `invoices.create`. Default: all of Books."
    ),
]
Checked: TypeAlias = Annotated[
    str, _help("Lists whose scopes the token must have: `invoices contacts`. Default: no check.")
]
CheckedTo: TypeAlias = Annotated[
    str | None, _help("Destination to check, as for `export`. Nothing is written.")
]
ProfileName: TypeAlias = Annotated[
    str | None, _help("Account saved by `zoho-async login`. Default: `ZOHO_PROFILE`.", _ACCOUNT)
]
Write: TypeAlias = Annotated[bool, _help("Include the scopes that change records.")]
LoginProfile: TypeAlias = Annotated[str, _help("Name of the saved account.", default=True)]
LoginRegion: TypeAlias = Annotated[
    str | None,
    _help(
        "Data center (`us`, `eu`, `in`, ...). Default: found from Zoho's answer; asked with "
        "`--self-client`."
    ),
]
ClientId: TypeAlias = Annotated[str | None, _help("Client ID. Default: asked.")]
LoginOrganization: TypeAlias = Annotated[
    str | None, _help("Organization id. Default: chosen from a list.")
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
    _help(
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
Check: TypeAlias = Annotated[bool, _help("Only check that the saved account works.")]
SchemaOf: TypeAlias = Annotated[
    str | None, _help("Destination of an export, to include the columns that it has observed.")
]
AsLines: TypeAlias = Annotated[bool, _help("Print one JSON object per list.")]
AsJsonLine: TypeAlias = Annotated[bool, _help("Print one JSON object.")]
