"""The options of the subcommands: types and help texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias

from cyclopts import Group, Parameter
from cyclopts.validators import Number

from zoho_async.cli.output import Form
from zoho_async.errors import ConfigurationError
from zoho_async.export.outcomes import EXIT_CODES
from zoho_async.limits.models import PlanName

_MORE: Final = Group("More options", sort_key=1)
_COMPLETE: Final = Group("Completeness", sort_key=2)
_ACCOUNT: Final = Group("Account", sort_key=3)
_LIMITS: Final = Group("Limits", sort_key=4)


def _help(text: str, group: Group | None = None, *, default: bool = False) -> Parameter:
    """The help text of an option; ``default`` shows its default too."""
    if group is None:
        return Parameter(help=text, show_default=default)
    return Parameter(help=text, show_default=default, group=group)


# -- export, merge and probe: common options ------------------------------------------------------

Resource: TypeAlias = Annotated[
    str, _help("Lists to export, such as `invoices contacts`. Default: all lists.")
]
To: TypeAlias = Annotated[
    str,
    _help("A directory, `FILE.duckdb`, `FILE.sqlite` or `postgresql://USER@HOST/DATABASE`."),
]
Details: TypeAlias = Annotated[
    bool, _help("Read each new or changed record in full: line items, taxes, addresses.")
]
DocumentFiles: TypeAlias = Annotated[
    bool, _help("Save the PDF and the attachments of each new or changed record.")
]
Full: TypeAlias = Annotated[bool, _help("Read everything again, not only what changed.")]
DetectDeletions: TypeAlias = Annotated[
    bool, _help("Find deleted records: read whole lists, check each missing record.")
]
Since: TypeAlias = Annotated[
    str | None,
    _help("Skip records last modified before this date, such as `2026-01-31`."),
]
Filters: TypeAlias = Annotated[
    tuple[str, ...],
    _help("`NAME=VALUE` for every list, such as `status=overdue`. Repeatable."),
]
AsJson: TypeAlias = Annotated[bool, _help("Print one JSON object to stdout at the end.")]
InSandbox: TypeAlias = Annotated[bool, _help("Use sample data. Needs no account.")]

# -- export: more options -------------------------------------------------------------------------

FileFormat: TypeAlias = Annotated[
    Literal["jsonl", "jsonl.gz", "jsonl.zst", "csv", "parquet"] | None,
    _help(
        "File format. `jsonl` (the default) holds rows as Zoho sent them; `parquet` has typed "
        "columns. A directory keeps its format.",
        _MORE,
    ),
]
Flatten: TypeAlias = Annotated[
    bool,
    _help(
        "Write nested lists to files such as `invoices__line_items.parquet`. Parquet only.", _MORE
    ),
]
Restart: TypeAlias = Annotated[
    bool,
    _help("Discard an interrupted export and read everything again.", _MORE),
]
MaxDeletionChecks: TypeAlias = Annotated[
    int | None,
    _help("The most records that `--detect-deletions` checks in one run. Default: all.", _MORE),
]
DocumentFolder: TypeAlias = Annotated[
    Path | None, _help("Like `--files`, but save into this directory instead of `--to`.", _MORE)
]
MaxCalls: TypeAlias = Annotated[
    int | None,
    _help(
        "The most API calls of this run. It then ends with code 3; run the same command again to "
        "continue.",
        _MORE,
    ),
]
UntilDone: TypeAlias = Annotated[
    bool,
    _help("If the day's calls are used up, wait for the next day and continue.", _MORE),
]
Strict: TypeAlias = Annotated[
    bool,
    _help("End with code 4 unless every list is proven complete.", _COMPLETE),
]
Accept: TypeAlias = Annotated[
    tuple[str, ...],
    _help(
        "`short:LIST`: allow this list to count more records than are found. For this run. "
        "Repeatable.",
        _COMPLETE,
    ),
]
AcceptShorter: TypeAlias = Annotated[
    bool,
    _help(
        "Let an unproven read replace a file that has more records. For this run.",
        _COMPLETE,
    ),
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
ProfileName: TypeAlias = Annotated[
    str | None, _help("Account saved by `zoho-async login`. Default: `ZOHO_PROFILE`.", _ACCOUNT)
]
Organization: TypeAlias = Annotated[
    str | None, _help("Organization id. Default: `ZOHO_ORGANIZATION_ID`.", _ACCOUNT)
]
Region: TypeAlias = Annotated[
    str | None,
    _help("Data center of the account: `us`, `eu`, `in`, ... Default: `ZOHO_REGION`.", _ACCOUNT),
]
Limit: TypeAlias = Annotated[
    int,
    _help(
        "Calls per minute. Zoho allows 100 to all programs of an organization together.",
        _LIMITS,
        default=True,
    ),
]
Burst: TypeAlias = Annotated[
    int,
    _help("Calls that may start at once. Later calls are spread evenly.", _LIMITS, default=True),
]
LedgerFile: TypeAlias = Annotated[
    Path | None,
    _help(
        "File that remembers calls between runs. Default: `ZOHO_ASYNC_LEDGER`, or a file in the "
        "user's state directory.",
        _LIMITS,
    ),
]
RedisServer: TypeAlias = Annotated[
    str | None,
    _help(
        "Redis server that shares the limits between machines, `redis://HOST:6379/0`. Default: "
        "`ZOHO_REDIS_URL`, which may hold a password.",
        _LIMITS,
    ),
]
FreshServer: TypeAlias = Annotated[
    str | None,
    _help("Redis server, `redis://HOST:6379/0`. Default: `ZOHO_REDIS_URL`.", _LIMITS),
]
Plan: TypeAlias = Annotated[
    PlanName | None,
    _help(
        "Zoho plan, which sets the daily and concurrent limits. Default: read from Zoho's replies.",
        _LIMITS,
    ),
]
SandboxMinute: TypeAlias = Annotated[
    float | None, _help("Length of a sandbox's minute in seconds. Sandboxes only.", _LIMITS)
]

Watch: TypeAlias = Annotated[bool, _help("Refresh twice a second until interrupted.")]
AsLine: TypeAlias = Annotated[bool, _help("Print one JSON object per refresh.")]

EXPORT_EPILOGUE: Final = """
**More examples**

- deleted records too, for example each week: `zoho-async export --detect-deletions --to backup`
- all details, over several days if needed:
  `zoho-async export invoices --details --until-done --to backup`
- the comments of invoices: `zoho-async export invoices.comments --to backup`
- some rows: `zoho-async export invoices --filter status=overdue --to overdue`
- every organization: `zoho-async export --all-organizations --to backup`
- typed files: `zoho-async export --format parquet --to backup`; `--flatten` adds child tables
- PostgreSQL: `zoho-async export --to postgresql://me@db/books`, with the password in `PGPASSWORD`
  or `.pgpass`
- in a script: `zoho-async export --to backup --json | jq .rows`

**Exit codes**

""" + "\n".join(f"- {code}: {meaning}" for code, meaning in sorted(EXIT_CODES.items()))

# -- call and list ------------------------------------------------------------------------------

Listed: TypeAlias = Annotated[str, _help("A list, such as `invoices` or `inventory.items`.")]
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
HttpMethod: TypeAlias = Annotated[str, _help("`GET`, `POST`, `PUT` or `DELETE`.")]
ApiPath: TypeAlias = Annotated[str, _help("Path after the API version, such as `/contacts/123`.")]
Query: TypeAlias = Annotated[
    tuple[str, ...], _help("`NAME=VALUE` for the query string. Repeatable.")
]
Body: TypeAlias = Annotated[
    str | None, _help("JSON to send. `@FILE` reads a file, `@-` reads stdin.")
]
ProductName: TypeAlias = Annotated[
    str, _help("`books`, `invoice`, `billing` or `inventory`.", default=True)
]

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
Port: TypeAlias = Annotated[int, _help("Port to listen on. 0 takes a free port.", default=True)]
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

SANDBOX_EPILOGUE: Final = """
**Examples**

- more data, faster: `zoho-async sandbox --size invoices=20000 --speed 60`
- the limits of the free plan: `zoho-async sandbox --organization 111 --plan free`
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
Write: TypeAlias = Annotated[bool, _help("Include the scopes that change records.")]
LoginProfile: TypeAlias = Annotated[str, _help("Name of the saved account.", default=True)]
LoginRegion: TypeAlias = Annotated[
    str | None, _help("Data center (`us`, `eu`, `in`, ...). Default: asked.")
]
ClientId: TypeAlias = Annotated[str | None, _help("Client ID. Default: asked.")]
LoginOrganization: TypeAlias = Annotated[
    str | None, _help("Organization id. Default: chosen from a list.")
]
InBrowser: TypeAlias = Annotated[
    bool | None,
    Parameter(
        help="Agree in the browser, or paste a code from the API console (`--self-client`). "
        "Default: asked.",
        negative="--self-client",
        show_default=False,
    ),
]
CallbackPort: TypeAlias = Annotated[
    int, _help("Port of the redirect URI `http://localhost:PORT/callback`.", default=True)
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
AsLines: TypeAlias = Annotated[bool, _help("Print one JSON object per list.")]
AsJsonLine: TypeAlias = Annotated[bool, _help("Print one JSON object.")]


def read_pairs(texts: Sequence[str], option: str) -> dict[str, str]:
    """``["status=overdue"]`` as a mapping. Raises `ConfigurationError` for any other text."""
    pairs: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise ConfigurationError(f"{option} takes name=value, got {text!r}")
        pairs[name] = value
    return pairs
