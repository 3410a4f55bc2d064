"""The options of the subcommands: their types and what ``--help`` says of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias

from cyclopts import Group, Parameter
from cyclopts.validators import Number

from zoho_async.cli.output import Form
from zoho_async.export.outcomes import EXIT_CODES
from zoho_async.limits.models import PlanName

_CHANGES: Final = Group("Later runs", sort_key=0)
_FURTHER: Final = Group("Single records", sort_key=0)
_COMPLETE: Final = Group("Completeness", sort_key=0)
_ACCOUNT: Final = Group("Account", sort_key=1)
_LIMITS: Final = Group("Limits", sort_key=2)


def _said(text: str, group: Group | None = None, *, default: bool = False) -> Parameter:
    """An option's help; ``default`` shows its default too."""
    if group is None:
        return Parameter(help=text, show_default=default)
    return Parameter(help=text, show_default=default, group=group)


# -- export -------------------------------------------------------------------------------------

Resource: TypeAlias = Annotated[
    str, _said("What to export, such as `invoices contacts`. None: every list there is.")
]
To: TypeAlias = Annotated[
    str,
    _said(
        "Where to: a directory for files (`DIR/books/invoices.jsonl`), `FILE.duckdb`, "
        "`FILE.sqlite`, or `postgresql://USER@HOST/DATABASE`."
    ),
]
FileFormat: TypeAlias = Annotated[
    Literal["jsonl", "jsonl.gz", "jsonl.zst", "csv", "parquet"] | None,
    _said(
        "Form of the files: `jsonl` (rows as Zoho wrote them, the default), `jsonl.gz`, "
        "`jsonl.zst`, `csv` or `parquet` (typed). A directory keeps its form.",
    ),
]
Flatten: TypeAlias = Annotated[
    bool,
    _said("Lists within rows as files of their own, `invoices__line_items.parquet`; for Parquet."),
]
InSandbox: TypeAlias = Annotated[
    bool, _said("Use a made-up firm from a local sandbox; needs no account.")
]
AsJson: TypeAlias = Annotated[
    bool, _said("Print one JSON object at the end on stdout, and nothing else there.")
]
Filters: TypeAlias = Annotated[
    tuple[str, ...],
    _said("`NAME=VALUE` for every list, such as `status=overdue`; may be repeated."),
]
Fresh: TypeAlias = Annotated[
    bool, _said("Read all anew, and give up an interrupted export instead of going on with it.")
]
Full: TypeAlias = Annotated[bool, _said("Read all anew instead of what changed since.", _CHANGES)]
Since: TypeAlias = Annotated[
    str | None,
    _said("Nothing modified before this moment, such as `2026-01-31T00:00:00+0100`.", _CHANGES),
]
SweepDeleted: TypeAlias = Annotated[
    bool,
    _said(
        "Look for deleted records: reads the lists whole, asks about each missing one.", _CHANGES
    ),
]
SweepCalls: TypeAlias = Annotated[
    int | None, _said("The most records that `--detect-deletions` asks about in one run.", _CHANGES)
]
Details: TypeAlias = Annotated[
    bool,
    _said(
        "Read each new or changed record in full (line items, taxes, addresses): by batches where "
        "Zoho has them, else one call a record.",
        _FURTHER,
    ),
]
DocumentFiles: TypeAlias = Annotated[
    bool,
    _said(
        "Save the PDF and attachments of each new or changed record to "
        "`DIR/books/invoices.files/`.",
        _FURTHER,
    ),
]
DocumentFolder: TypeAlias = Annotated[
    Path | None, _said("As `--files`, into this directory instead of `--to`.", _FURTHER)
]
Strict: TypeAlias = Annotated[
    bool,
    _said("End with code 4 unless every list is proven complete.", _COMPLETE),
]
Accept: TypeAlias = Annotated[
    tuple[str, ...],
    _said(
        "`short:LIST`: this list may count more records than are found; for this run. "
        "May be repeated.",
        _COMPLETE,
    ),
]
AcceptShorter: TypeAlias = Annotated[
    bool,
    _said(
        "Let a file with fewer records replace a fuller one without proof; for this run.",
        _COMPLETE,
    ),
]
CallBudget: TypeAlias = Annotated[
    int | None,
    _said("The most calls of this run; it ends there (code 3) and can be gone on with.", _FURTHER),
]
UntilDone: TypeAlias = Annotated[
    bool,
    _said("When the day's calls are used up, wait for the next day and go on.", _FURTHER),
]
Merge: TypeAlias = Annotated[
    bool, _said("Merge the files in `--to` into the current state; calls nobody.", _CHANGES)
]
Probe: TypeAlias = Annotated[
    bool,
    _said(
        "Ask Zoho which lists really filter by change, with 3 calls a list, and remember.", _CHANGES
    ),
]
AllOrganizations: TypeAlias = Annotated[
    bool,
    _said(
        "Export every organization of the user, each into its own `DIR/<organization>`, "
        "`FILE-<organization>.duckdb` or schema `zoho_<organization>`.",
        _ACCOUNT,
    ),
]
ProfileName: TypeAlias = Annotated[
    str | None, _said("Account kept by `zoho-async login`; else `ZOHO_PROFILE`.", _ACCOUNT)
]
Organization: TypeAlias = Annotated[
    str | None, _said("Organization id; else `ZOHO_ORGANIZATION_ID`.", _ACCOUNT)
]
Region: TypeAlias = Annotated[
    str | None,
    _said("Data center of the account (`us`, `eu`, `in`, ...); else `ZOHO_REGION`.", _ACCOUNT),
]
Limit: TypeAlias = Annotated[
    int,
    _said(
        "Calls a minute; Zoho allows 100 to all who use the organization.", _LIMITS, default=True
    ),
]
Burst: TypeAlias = Annotated[
    int, _said("Calls that may go together; the rest comes evenly.", _LIMITS, default=True)
]
LedgerFile: TypeAlias = Annotated[
    Path | None,
    _said(
        "File that remembers calls across runs; else `ZOHO_ASYNC_LEDGER`, else a file in the "
        "user's state directory.",
        _LIMITS,
    ),
]
RedisServer: TypeAlias = Annotated[
    str | None,
    _said(
        "Redis server that keeps the limits for several machines, `redis://HOST:6379/0`; else "
        "`ZOHO_REDIS_URL`, which may hold a password.",
        _LIMITS,
    ),
]
FreshServer: TypeAlias = Annotated[
    str | None,
    _said("Redis server, `redis://HOST:6379/0`; else `ZOHO_REDIS_URL`.", _LIMITS),
]
Plan: TypeAlias = Annotated[
    PlanName | None,
    _said("Zoho plan: its calls a day and at once. None: as Zoho's replies tell.", _LIMITS),
]
SandboxMinute: TypeAlias = Annotated[
    float | None, _said("Seconds in the sandbox's minute; for sandboxes only.", _LIMITS)
]

Watch: TypeAlias = Annotated[bool, _said("Look again twice a second until interrupted.")]
AsLine: TypeAlias = Annotated[bool, _said("Print one JSON object a look on stdout.")]

EXPORT_EPILOGUE: Final = """
**Examples**

- everything: `zoho-async export --to backup`
- two lists: `zoho-async export invoices contacts --to backup`
- the same again reads what changed since, into `backup/books/invoices.changes/`
- one file a list from all of it: `zoho-async export --merge --to backup`
- deleted records too, say each week: `zoho-async export --detect-deletions --to backup`
- line items, taxes and addresses too, over as many days as it takes:
  `zoho-async export invoices --details --until-done --to backup`
- what hangs below records: `zoho-async export invoices.comments --to backup`
- PDFs and attachments: `zoho-async export invoices --files --to backup`
- some rows: `zoho-async export invoices --filter status=overdue --to overdue`
- every firm: `zoho-async export --all-organizations --to backup`
- typed files: `zoho-async export --format parquet --to backup`, with `--flatten` child tables too
- a database, always current: `zoho-async export --to books.duckdb`
- a server: `zoho-async export --to postgresql://me@db/books`, its password in `PGPASSWORD` or
  `.pgpass`
- in a script: `zoho-async export --to backup --json | jq .rows`

**Exit codes**

""" + "\n".join(f"- {code}: {meaning}" for code, meaning in sorted(EXIT_CODES.items()))

# -- call and list ------------------------------------------------------------------------------

Listed: TypeAlias = Annotated[str, _said("A list, such as `invoices` or `inventory.items`.")]
Rows: TypeAlias = Annotated[
    int | None,
    Parameter(
        help="Stop after so many rows; else 25 in a table and all in a pipe.",
        validator=Number(gte=1),
        show_default=False,
    ),
]
Columns: TypeAlias = Annotated[
    tuple[str, ...], _said("Field to show in the table; may be repeated.")
]
Output: TypeAlias = Annotated[
    Form | None, _said("`table`, `json` (one array) or `jsonl` (one row a line).")
]
DryRun: TypeAlias = Annotated[bool, _said("Show the request, its token hidden; send nothing.")]
HttpMethod: TypeAlias = Annotated[str, _said("`GET`, `POST`, `PUT` or `DELETE`.")]
ApiPath: TypeAlias = Annotated[str, _said("What follows the version, such as `/contacts/123`.")]
Query: TypeAlias = Annotated[tuple[str, ...], _said("`NAME=VALUE` for the query; may be repeated.")]
Body: TypeAlias = Annotated[str | None, _said("JSON to send; `@FILE` reads a file, `@-` stdin.")]
ProductName: TypeAlias = Annotated[
    str, _said("`books`, `invoice`, `billing` or `inventory`.", default=True)
]

Shell: TypeAlias = Annotated[
    Literal["bash", "zsh", "fish", "powershell"], _said("Whose script to print.")
]

COMPLETION_EPILOGUE: Final = """
**Examples**

- bash: `zoho-async completion bash > ~/.local/share/bash-completion/completions/zoho-async`
- fish: `zoho-async completion fish > ~/.config/fish/completions/zoho-async.fish`
"""

LIST_EPILOGUE: Final = """
**Examples**

- a look: `zoho-async list invoices --filter status=overdue`
- numbers for a script: `zoho-async list items --rows 1000 | jq -r .name`
- try it without an account: `zoho-async list contacts --sandbox`
"""

CALL_EPILOGUE: Final = """
**Examples**

- read: `zoho-async call GET /settings/preferences`
- what would be sent: `zoho-async call POST /contacts --body '{"contact_name": "Acme"}' --dry-run`
- another product: `zoho-async call GET /plans --product billing`
"""

# -- sandbox ------------------------------------------------------------------------------------

Host: TypeAlias = Annotated[str, _said("Address to listen on.", default=True)]
Port: TypeAlias = Annotated[int, _said("Port to listen on; 0 takes a free one.", default=True)]
Seed: TypeAlias = Annotated[int, _said("Decides every record.", default=True)]
Sizes: TypeAlias = Annotated[
    tuple[str, ...], _said("`RESOURCE=ROWS`, such as `invoices=200`; may be repeated.")
]
Minute: TypeAlias = Annotated[
    float, _said("Seconds in its minute: clients must know (`export --minute`).", default=True)
]
Latency: TypeAlias = Annotated[
    str,
    _said(
        "Seconds until a reply leaves: `0.3`, a range `0.1:0.5`, or a long tail `tail:0.3`.",
        default=True,
    ),
]
Organizations: TypeAlias = Annotated[
    tuple[str, ...], _said("Id of an organization that it has; may be repeated.")
]
SandboxPlan: TypeAlias = Annotated[
    str, _said("Zoho's plan, which sets the calls a day and at once.", default=True)
]
Speed: TypeAlias = Annotated[
    float, _said("Zoho's seconds in one of yours: with 60 its minute is a second.", default=True)
]
FaultsFile: TypeAlias = Annotated[
    Path | None, _said("TOML file of `[[fault]]` tables: what goes wrong, where and how often.")
]
ToNetwork: TypeAlias = Annotated[
    bool,
    _said("Let other machines reach it: its secrets are known to everyone who reads the docs."),
]
AllowedHosts: TypeAlias = Annotated[
    tuple[str, ...],
    _said("Host name under which requests may reach it, such as a container's; may be repeated."),
]

SANDBOX_EPILOGUE: Final = """
**Examples**

- a larger firm in a hurry: `zoho-async sandbox --size invoices=20000 --speed 60`
- an organization of the free plan: `zoho-async sandbox --organization 111 --plan free`
- with faults: `zoho-async sandbox --faults faults.toml`, where the file has lines such as
  `[[fault]]`, `kind = "status"`, `status = 503`, `path = "*/invoices"`, `probability = 0.05`,
  `times = "always"`
"""

# -- accounts -----------------------------------------------------------------------------------

Scoped: TypeAlias = Annotated[
    str, _said("What will be used: `books`, `invoices` or `invoices.create`. None: all of Books.")
]
Write: TypeAlias = Annotated[bool, _said("Scopes that change records too, not only read them.")]
LoginProfile: TypeAlias = Annotated[str, _said("Name to keep the account under.", default=True)]
LoginRegion: TypeAlias = Annotated[
    str | None, _said("Data center (`us`, `eu`, `in`, ...); asked where not given.")
]
ClientId: TypeAlias = Annotated[str | None, _said("Client ID; asked where not given.")]
LoginOrganization: TypeAlias = Annotated[
    str | None, _said("Organization id; chosen from a list where not given.")
]
InBrowser: TypeAlias = Annotated[
    bool | None,
    Parameter(
        help="Agree in the browser, or (`--self-client`) paste a code from the API console; "
        "asked where not given.",
        negative="--self-client",
        show_default=False,
    ),
]
CallbackPort: TypeAlias = Annotated[
    int, _said("Port of the redirect URI `http://localhost:PORT/callback`.", default=True)
]
UseKeyring: TypeAlias = Annotated[
    bool,
    Parameter(
        help="Keep secrets in the OS keyring where there is one that works, or "
        "(`--no-keyring`) in a file that only you can read.",
        negative="--no-keyring",
        show_default=False,
    ),
]
Check: TypeAlias = Annotated[bool, _said("Only say whether the account that is kept works.")]
AsLines: TypeAlias = Annotated[bool, _said("Print one JSON object per list.")]
AsJsonLine: TypeAlias = Annotated[bool, _said("Print one JSON object.")]
