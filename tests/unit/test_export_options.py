"""The command and Python have the same options."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from dataclasses import fields
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, get_args
from zoneinfo import ZoneInfo

import pytest
from cyclopts.argument import Argument

from zoho_async.cli.app import app
from zoho_async.cli.connect import ConnectionOptions
from zoho_async.errors import ConfigurationError
from zoho_async.export import Export, ExportOptions, Exports
from zoho_async.export.destinations.open import FORMATS
from zoho_async.export.options import FormatName, midnight
from zoho_async.export.run import run_export

#: Options of the command alone: how the result is printed, and `Exports` instead of `Export`.
OF_THE_COMMAND = {"--json", "--all-organizations", "--config", "--plan-only"}
#: A value of each option, as arguments and in Python.
VALUES: dict[str, tuple[list[str], object]] = {
    "details": ([], True),
    "files": ([], True),
    "since": (["2026-01-31"], date(2026, 1, 31)),
    "filter": (
        ["status=paid", "--filter", "customer_id=1"],
        {"status": "paid", "customer_id": "1"},
    ),
    "full": ([], True),
    "refresh_children": (["7"], 7),
    "detect_deletions": ([], True),
    "change_feed": ([], True),
    "format": (["csv"], "csv"),
    "flatten": ([], True),
    "excel": ([], True),
    "select": (["contacts:email"], ("contacts:email",)),
    "exclude": (["*:notes", "--exclude", "items:rate"], ("*:notes", "items:rate")),
    "hash": (["contacts:email"], ("contacts:email",)),
    "mask": (["contacts:phone"], ("contacts:phone",)),
    "files_to": (["documents"], Path("documents")),
    "restart": ([], True),
    "max_calls": (["7"], 7),
    "max_deletion_checks": (["3", "--detect-deletions"], 3),
    "until_done": ([], True),
    "strict": ([], True),
    "accept": (["short:items", "--accept", "short:contacts"], ("short:items", "short:contacts")),
    "accept_shorter": ([], True),
}


def option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def arguments() -> list[Argument]:
    """The arguments of the command that its help shows."""
    found = app["export"].assemble_argument_collection(
        default_parameter=app.default_parameter, parse_docstring=True
    )
    return [one for one in found if one.show]


def names(options: Any) -> set[str]:
    return {option(one.name) for one in fields(options)}


def test_the_command_has_each_option_of_python_and_no_other() -> None:
    shown = {name for one in arguments() for name in one.names if name.startswith("--")}
    assert shown - OF_THE_COMMAND - names(ConnectionOptions) == names(ExportOptions) | {"--to"}


@pytest.mark.parametrize("function", [Export, Exports, run_export])
def test_each_way_to_export_takes_them(function: Callable[..., Any]) -> None:
    parameters = inspect.signature(function).parameters
    assert {"resources", "to", "options"} <= parameters.keys()
    assert not parameters.keys() & {one.name for one in fields(ExportOptions)}


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("pydantic", [False, True], ids=["", "pydantic"])
def test_an_option_of_the_command_is_the_same_option_in_python(
    name: str, pydantic: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """cyclopts has pydantic check the values as well if a program imports it."""
    if pydantic:
        pytest.importorskip("pydantic")
    else:
        monkeypatch.delitem(sys.modules, "pydantic", raising=False)
    values, expected = VALUES[name]
    _, bound, _ = app.parse_args(["export", "items", "--to", "x", option(name), *values])
    assert bound.args == ("items",)
    assert getattr(bound.kwargs["wanted"], name) == expected


def test_each_option_has_an_example_here_and_a_help_text() -> None:
    assert VALUES.keys() == {one.name for one in fields(ExportOptions)}
    assert [one.name for one in arguments() if not one.parameter.help] == []


def test_the_formats_are_those_of_the_destinations() -> None:
    assert set(get_args(FormatName)) == set(FORMATS)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_calls": 0}, "at least 1, got 0"),
        ({"max_deletion_checks": 3}, "needs --detect-deletions"),
        ({"full": True, "detect_deletions": True}, "give one of them"),
        ({"since": datetime(2026, 1, 31)}, "must have a UTC offset"),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        ExportOptions(**options)


def test_midnight_is_that_of_the_time_zone() -> None:
    day = date(2026, 1, 31)
    start = midnight(day, "America/Sao_Paulo")
    assert start == datetime(2026, 1, 31, tzinfo=ZoneInfo("America/Sao_Paulo"))
    assert start is not None
    assert start.utcoffset() == timedelta(hours=-3)
    for unknown in (None, "", "Mars/Olympus", "../../etc/passwd"):
        assert midnight(day, unknown) is None
