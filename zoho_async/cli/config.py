"""``zoho-async export --config zoho.toml``: options of an export in a file.

The file has the names of the options without the hyphens in front, as in `ExportOptions`,
and ``lists`` for the lists to export::

    lists = ["invoices", "contacts"]
    to = "books.duckdb"
    details = true
    since = 2026-01-31
    exclude = ["*:notes"]
    filter = {status = "overdue"}

An option on the command line replaces the one in the file. Secrets are refused: the file is meant
to be shared.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from datetime import date
from pathlib import Path
from typing import Any, Final, cast

from cyclopts import App, ArgumentCollection, Token
from cyclopts.argument import Argument

from zoho_async.errors import ConfigurationError

_LISTS: Final = "lists"
#: Options that belong to one call of the command. With ``restart``, no interrupted run would ever
#: be continued.
_NOT_HERE: Final = frozenset({"config", "plan-only", "json", "restart"})
_SECRET: Final = re.compile(r"secret|token|passw|(^|-)key$|credential")


def read_config(app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """Add the options in the file of ``--config`` to ``arguments``, unless they are given.

    cyclopts calls this for each command. Raises `ConfigurationError`.
    """
    if commands != ("export",):
        return
    options = {name: one for one in arguments for name in _names(one)}
    given = options["config"].tokens
    if not given:
        return
    path = Path(given[-1].value)
    resources = next(one for one in arguments if not _names(one) and one.index is not None)
    known = {name: one for name, one in options.items() if name not in _NOT_HERE}
    known[_LISTS] = resources
    for key, value in _content(path).items():
        name = key.replace("_", "-")
        _check_name(path, key, name, known)
        argument, texts = known[name], _texts(path, key, value)
        if not argument.tokens:
            for place, text in enumerate(texts):
                argument.append(
                    Token(keyword=f"--{name}", value=text, source=str(path), index=place)
                )


def _names(argument: Argument) -> list[str]:
    return [name.removeprefix("--") for name in argument.names if name.startswith("--")]


def _content(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except OSError as problem:
        raise ConfigurationError(f"cannot read {path}: {problem.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise ConfigurationError(f"{path} is not TOML: {problem}") from None


def _check_name(path: Path, key: str, name: str, known: dict[str, Argument]) -> None:
    if name in known:
        return
    if _SECRET.search(name):
        raise ConfigurationError(
            f"{path}: {key}: secrets do not belong in this file: set environment variables, "
            "or run `zoho-async login`"
        )
    if name in _NOT_HERE:
        raise ConfigurationError(f"{path}: {key}: give --{name} on the command line")
    near = difflib.get_close_matches(name, known, n=3)
    advice = f"did you mean {' or '.join(near)}?" if near else f"it has {', '.join(sorted(known))}"
    raise ConfigurationError(f"{path}: unknown option {key!r}: {advice}")


def _texts(path: Path, key: str, value: object) -> list[str]:
    """A value as the texts that the command line would have."""
    if isinstance(value, list):
        return [_text(path, key, one) for one in cast("list[object]", value)]
    if isinstance(value, dict):
        pairs = cast("dict[str, object]", value)
        return [f"{name}={_text(path, key, one)}" for name, one in pairs.items()]
    return [_text(path, key, value)]


def _text(path: Path, key: str, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, date):  # a time is a date, too
        return value.isoformat()
    if isinstance(value, str | int):
        return str(value)
    raise ConfigurationError(f"{path}: {key} must be a text, a number, a date or a list of these")
