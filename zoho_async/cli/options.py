"""Options of the subcommands, types and help texts: those that several share, and of exports."""

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

MORE: Final = Group("More options", sort_key=1)
_COLUMNS: Final = Group("Columns", sort_key=2)
_COMPLETE: Final = Group("Completeness", sort_key=2)
ACCOUNT: Final = Group("Account", sort_key=3)
LIMITS: Final = Group("Limits", sort_key=4)


def option(text: str, group: Group | None = None, *, default: bool = False) -> Parameter:
    """The help text of an option; ``default`` shows its default too."""
    if group is None:
        return Parameter(help=text, show_default=default)
    return Parameter(help=text, show_default=default, group=group)


def annotated(options: type[T], parameters: Mapping[str, Any]) -> type[T]:
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
        annotated(
            ExportOptions,
            {
                "since": Annotated[str | None, Parameter(converter=_since), _Converted()],
                "filter": Annotated[tuple[str, ...], Parameter(converter=_pairs), _Converted()],
                "files_to": Annotated[Path | None, Parameter(group=MORE)],
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
                    Parameter(group=MORE),
                ),
                **dict.fromkeys(("select", "exclude", "hash", "mask"), Parameter(group=_COLUMNS)),
                **dict.fromkeys(("strict", "accept", "accept_shorter"), Parameter(group=_COMPLETE)),
            },
        ),
        Parameter(name="*"),
    ]
    ConnectionArguments = Annotated[
        annotated(
            ConnectionOptions,
            {
                **dict.fromkeys(("profile", "organization", "region"), Parameter(group=ACCOUNT)),
                **dict.fromkeys(("limit", "burst"), Parameter(group=LIMITS, show_default=True)),
                **dict.fromkeys(("plan", "ledger", "redis", "minute"), Parameter(group=LIMITS)),
            },
        ),
        Parameter(name="*"),
    ]


def offer(names: Callable[[], Iterable[str]]) -> Parameter:
    """Offer ``names`` to the shell. ``books.`` is left out unless the user typed it."""

    def complete(context: CompletionContext) -> list[str]:
        prefix = "" if context.incomplete.startswith("b") else "books."
        return [name.removeprefix(prefix) for name in names()]

    return Parameter(completer=complete)


Resource: TypeAlias = Annotated[
    str,
    option("Lists to export, such as `invoices contacts`. Default: all lists."),
    offer(all_lists),
]
Probed: TypeAlias = Annotated[
    str,
    option("Lists to test, such as `invoices contacts`. Default: all lists."),
    offer(exportable),
]
To: TypeAlias = Annotated[
    str,
    option(
        "A directory, `FILE.duckdb`, `FILE.sqlite`, `FILE.xlsx`, for one list also `FILE.csv`, "
        "`FILE.parquet` or `FILE.jsonl`, or `postgresql://USER@HOST/DATABASE`."
    ),
]
AsJson: TypeAlias = Annotated[bool, option("Print one JSON object to stdout at the end.")]
ConfigFile: TypeAlias = Annotated[
    Path | None,
    option("TOML file with these options, `lists` and `to`. The command line wins."),
]
PlanOnly: TypeAlias = Annotated[
    bool,
    option(
        "Print the calls, time and days that the export takes. Writes nothing, makes few calls."
    ),
]
FileFormat: TypeAlias = Annotated[
    FormatName | None, option("File format. A directory keeps its format.")
]
Flatten: TypeAlias = Annotated[
    bool,
    option("Write nested lists to separate files, such as `invoices__line_items.csv`."),
]
MergeDirectory: TypeAlias = Annotated[str, option("Directory that `zoho-async export` wrote.")]
ProbeTo: TypeAlias = Annotated[
    str | None,
    option("Destination of the exports. The result is saved there and later exports use it."),
]
AllOrganizations: TypeAlias = Annotated[
    bool,
    option(
        "Export every organization of the user, each to its own `DIR/<organization>`, "
        "`FILE-<organization>.duckdb` or schema `zoho_<organization>`.",
        ACCOUNT,
    ),
]
FreshServer: TypeAlias = Annotated[
    str | None,
    option("Redis server, `redis://HOST:6379/0`. Default: `ZOHO_REDIS_URL`.", LIMITS),
]

Watch: TypeAlias = Annotated[bool, option("Refresh twice a second until interrupted.")]
AsLine: TypeAlias = Annotated[bool, option("Print one JSON object per refresh.")]

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
    str, option("A list, such as `invoices` or `inventory.items`."), offer(exportable)
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
    tuple[str, ...], option("Field to show in a table or CSV. Repeatable.")
]
Output: TypeAlias = Annotated[
    Form | None, option("`table`, `csv`, `json` (one array) or `jsonl` (one row per line).")
]
DryRun: TypeAlias = Annotated[bool, option("Print the request without its token. Send nothing.")]

HttpMethod: TypeAlias = Annotated[str, option("`GET`, `POST`, `PUT` or `DELETE`.")]
ApiPath: TypeAlias = Annotated[str, option("Path after the API version, such as `/contacts/123`.")]
Query: TypeAlias = Annotated[
    tuple[str, ...], option("`NAME=VALUE` for the query string. Repeatable.")
]
Filters: TypeAlias = Annotated[
    tuple[str, ...], option("`NAME=VALUE`, such as `status=overdue`. Repeatable.")
]
Body: TypeAlias = Annotated[
    str | None, option("JSON to send. `@FILE` reads a file, `@-` reads stdin.")
]
ProductName: TypeAlias = Annotated[
    str, option("`books`, `invoice`, `billing` or `inventory`.", default=True)
]

Shell: TypeAlias = Annotated[
    Literal["bash", "zsh", "fish", "powershell"], option("The shell to complete in.")
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

SchemaOf: TypeAlias = Annotated[
    str | None, option("Destination of an export, to include the columns that it has observed.")
]
AsLines: TypeAlias = Annotated[bool, option("Print one JSON object per list.")]
AsJsonLine: TypeAlias = Annotated[bool, option("Print one JSON object.")]
