"""Wrong usage of the command gives one clear sentence, exit code 2 and no traceback."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path

import msgspec
import pytest

from zoho_async import __version__
from zoho_async.cli.app import run
from zoho_async.cli.options import parse_since
from zoho_async.cli.resources import ResourceRow, refresh_text
from zoho_async.errors import ConfigurationError

ACCOUNT = {
    "ZOHO_CLIENT_ID": "1000.CLIENT",
    "ZOHO_CLIENT_SECRET": "the-secret",
    "ZOHO_REFRESH_TOKEN": "1000.the-refresh-token",
}
ORGANIZATION = {"ZOHO_ORGANIZATION_ID": "10234695"}

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Command:
    """Runs the command in this process: its exit code, stdout and stderr."""

    def run_command(*arguments: str, **environ: str) -> tuple[int, str, str]:
        for name in (*ACCOUNT, "ZOHO_ORGANIZATION_ID", "ZOHO_REGION", "ZOHO_BASE_URL"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("ZOHO_ASYNC_LEDGER", str(tmp_path / "limits.sqlite"))
        monkeypatch.setattr(sys, "argv", ["zoho-async", *arguments])
        code = run()
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run_command


def assert_one_sentence(result: tuple[int, str, str], *words: str) -> None:
    code, out, err = result
    assert code == 2
    assert out == ""
    assert len(err.splitlines()) == 1
    assert err.startswith("zoho-async: ")
    for word in words:
        assert word in err
    assert "Traceback" not in err
    assert not any(secret in err for secret in ACCOUNT.values())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["exprt"], ["exprt", "export"]),
        (["export"], ["--to", "--help"]),
        (["export", "--to", "x", "--limti", "3"], ["--limti", "--limit"]),
        (["export", "--to", "x", "--limit", "many"], ["--limit", "many"]),
        (["export", "--to", "x", "--sandbox", "--limit", "0"], ["limit", "at least 1"]),
        (["export", "--to", "x", "--sandbox", "--burst", "91"], ["burst", "90"]),
        (["export", "invoces", "--to", "x", "--sandbox"], ["invoces", "did you mean invoices"]),
        (["export", "xyzzy", "--to", "x", "--sandbox"], ["xyzzy", "zoho-async resources"]),
        (["export", "--to", "x", "--sandbox", "--filter", "status"], ["name=value", "status"]),
        (["export", "items", "--to", "x", "--sandbox", "--filter", "statsu=1"], ["statsu"]),
        (["export", "--to", "x", "--sandbox", "--region", "eu"], ["--sandbox", "--region"]),
        (["export", "--to", "x", "--sandbox", "--max-calls", "-1"], ["at least 1, got -1"]),
        (["merge", "x"], ["holds no export"]),
        (["probe", "--sandbox", "--profile", "x"], ["--sandbox", "--profile"]),
        (["sandbox", "--size", "invoices"], ["--size", "RESOURCE=ROWS"]),
    ],
)
def test_the_error_for_wrong_arguments_says_what_to_do(
    command: Command, arguments: list[str], words: list[str]
) -> None:
    assert_one_sentence(command(*arguments), *words)


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({}, ["ZOHO_CLIENT_ID", "ZOHO_CLIENT_SECRET", "ZOHO_REFRESH_TOKEN"]),
        ({**ACCOUNT, "ZOHO_CLIENT_SECRET": ""}, ["ZOHO_CLIENT_SECRET"]),
        (ACCOUNT, ["ZOHO_ORGANIZATION_ID", "--organization"]),
        ({**ACCOUNT, "ZOHO_ORGANIZATION_ID": "my firm"}, ["my firm", "must be a number"]),
        ({**ACCOUNT, **ORGANIZATION, "ZOHO_REGION": "mars"}, ["mars", "us, eu, in"]),
        ({**ACCOUNT, **ORGANIZATION, "ZOHO_REGION": "uk"}, ["uk", "ZOHO_BASE_URL"]),
        ({**ACCOUNT, **ORGANIZATION, "ZOHO_BASE_URL": "http://x.example"}, ["https"]),
    ],
)
def test_the_error_for_a_wrong_environment_says_what_to_do(
    command: Command, tmp_path: Path, environ: dict[str, str], words: list[str]
) -> None:
    assert_one_sentence(command("export", "--to", str(tmp_path / "out"), **environ), *words)
    assert not (tmp_path / "out").exists()


def test_zohos_own_minute_cannot_be_shortened(command: Command, tmp_path: Path) -> None:
    result = command("export", "--to", str(tmp_path), "--minute", "5", **ACCOUNT, **ORGANIZATION)
    assert_one_sentence(result, "--minute", "sandboxes only")


def test_a_directory_that_is_a_file_is_an_error(command: Command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    result = command("export", "items", "--to", str(tmp_path / "file"), "--sandbox")
    assert_one_sentence(result, "cannot write", "choose another place")


def test_a_ledger_that_cannot_be_written_is_an_error(command: Command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    result = command(
        *("export", "--to", str(tmp_path / "out"), "--ledger", str(tmp_path / "file" / "l.sqlite")),
        **ACCOUNT,
        **ORGANIZATION,
    )
    assert_one_sentence(result, "ledger", "--ledger")


def test_the_version_and_the_resources_are_printed(command: Command) -> None:
    assert command("--version") == (0, f"{__version__}\n", "")
    code, out, _ = command("resources")
    assert (code, "books.invoices" in out.splitlines()) == (0, True)


def test_the_resources_say_whose_children_a_later_run_reads_again(command: Command) -> None:
    _, out, _ = command("resources", "--json")
    found = {row["resource"]: row for row in map(json.loads, out.splitlines())}
    assert found["books.invoices"]["refresh"] is None
    comments, users = found["books.invoices.comments"], found["books.projects.users"]
    assert (comments["parents"], comments["refresh"]) == ("books.invoices", "recent")
    assert (users["parents"], users["refresh"]) == ("books.projects", "all")
    texts = [refresh_text(msgspec.convert(row, ResourceRow)) for row in (comments, users)]
    assert "books.invoices changed in the last 30 days: a call or more per parent" in texts[0]
    assert "books.projects (all of them)" in texts[1]


@pytest.mark.parametrize("days", ["-1", "some"])
def test_children_are_refreshed_for_days_or_all(
    command: Command, days: str, tmp_path: Path
) -> None:
    to = str(tmp_path)
    code, _, err = command("export", "items", "--to", to, f"--refresh-children={days}")
    assert (code, "refresh-children" in err, "all" in err) == (2, True, True)


@pytest.mark.parametrize("arguments", [[], ["--help"], ["export", "--help"], ["sandbox", "--help"]])
def test_help_shows_examples(command: Command, arguments: list[str]) -> None:
    code, out, err = command(*arguments)
    assert (code, err) == (0, "")
    assert "zoho-async export --sandbox --to" in out or "zoho-async " in out


def test_the_first_screen_of_the_export_help_shows_the_common_options(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    _, out, _ = command("export", "--help")
    screen = "\n".join(out.splitlines()[:40])
    for word in ("--to", "--details", "--files", "--since", "--filter", "--full", "--json"):
        assert f" {word} " in screen
    assert "zoho-async export --to backup" in screen


def test_since_is_a_date_or_a_time_with_its_offset() -> None:
    assert parse_since("2026-01-31") == date(2026, 1, 31)
    assert parse_since("2026-01-31T00:00:00+0100") != parse_since("2026-01-31T00:00:00Z")
    for wrong in ("2026-01-31T10:00", "yesterday"):
        with pytest.raises(ConfigurationError, match=f"got '{wrong}'"):
            parse_since(wrong)


def test_help_lists_the_exit_codes(command: Command) -> None:
    _, out, _ = command("export", "--help")
    assert all(f"{code}: " in out for code in (0, 1, 2, 3, 130))


def test_the_library_loads_nothing_of_the_command() -> None:
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys, zoho_async; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert not {"zoho_async.cli", "zoho_async.export", "cyclopts", "rich"} & set(loaded)


def test_without_its_extra_the_command_says_how_to_get_it() -> None:
    ended = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; sys.modules['cyclopts'] = None\nfrom zoho_async.cli import main; main()",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert "zoho-async[cli]" in ended.stderr
