"""Exit codes and messages of the command for each state of a list."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import Command, serving
from zoho_async.sandbox import Fault, Sandbox

LISTS = ("contacts", "invoices", "items")


@pytest.fixture
def server() -> Generator[Sandbox]:
    sizes = {"books.contacts": 30, "books.invoices": 12, "books.items": 9}
    with serving(Sandbox(sizes=sizes, minute=1.0)) as made:
        yield made


@pytest.fixture
def command(
    server: Sandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Command:
    return Command(server.environment(), tmp_path, monkeypatch, capsys)


@pytest.fixture
def job(tmp_path: Path) -> tuple[str, ...]:
    return ("export", *LISTS, "--to", str(tmp_path / "out"), "--minute", "1")


def refusing(name: str, code: int = 4, status: int = 400, message: str = "Not here.") -> Fault:
    return Fault(
        kind="code", path=f"*/{name}", status=status, code=code, message=message, times=None
    )


def rows(tmp_path: Path, name: str) -> list[bytes]:
    return (tmp_path / f"out/books/{name}.jsonl").read_bytes().splitlines()


def states(told: dict[str, Any]) -> dict[str, tuple[str, int]]:
    resources: list[dict[str, Any]] = told["resources"]
    return {
        one["resource"].removeprefix("books."): (one["state"], one["exit_code"])
        for one in resources
    }


def test_a_refusal_is_reported_once_and_again_if_it_changes(
    server: Sandbox, command: Command, job: tuple[str, ...]
) -> None:
    server.faults.append(refusing("items"))
    code, out, err = command(*job)
    assert code == 4
    assert "books.items: " in err
    assert "Not here." in err
    assert "not complete: books.items" in err
    assert "continue with" not in err
    assert "done: 42 rows" in out
    code, out, err = command(*job)
    assert (code, "books.items" in out + err) == (0, False)
    assert command(*job, "--strict")[0] == 4
    assert command(*job)[0] == 0
    server.faults[:] = [refusing("items", code=5, message="Switched off.")]
    code, _, err = command(*job)
    assert (code, "Switched off." in err) == (4, True)
    assert command(*job)[0] == 0


def test_a_list_that_is_no_longer_refused_is_read_and_a_later_refusal_is_new(
    server: Sandbox, command: Command, job: tuple[str, ...], tmp_path: Path
) -> None:
    server.faults.append(refusing("items"))
    assert command(*job)[0] == 4
    server.faults.clear()
    assert command(*job)[0] == 0
    assert sorted(rows(tmp_path, "items")) == sorted(server.truth("books.items"))
    server.faults.append(refusing("items"))
    assert command(*job)[0] == 4
    assert command(*job)[0] == 0


def test_a_refused_list_keeps_neither_the_others_nor_the_next_run_from_going_on(
    server: Sandbox, command: Command, job: tuple[str, ...], tmp_path: Path
) -> None:
    server.faults.append(refusing("items"))
    first = command.json(*job)
    assert (first["status"], first["exit_code"], first["continue"]) == ("incomplete", 4, None)
    assert states(first) == {
        "contacts": ("proven", 0), "invoices": ("proven", 0), "items": ("refused", 4),
    }  # fmt: skip
    assert rows(tmp_path, "contacts") == server.truth("books.contacts")
    server.store().collection("contacts").change(3, {"contact_name": "Changed"})
    second = command.json(*job)
    assert (second["status"], second["rows"]) == ("done", 1)
    assert states(second)["items"] == ("refused_before", 0)


def test_a_named_list_without_a_scope_is_reported_each_time(
    server: Sandbox, command: Command, job: tuple[str, ...]
) -> None:
    server.faults.append(refusing("items", code=57, status=401))
    assert [command(*job)[0] for _ in range(3)] == [4, 4, 4]


def test_lists_of_the_default_selection_without_a_scope_are_reported_once(
    server: Sandbox, command: Command, tmp_path: Path
) -> None:
    server.faults.append(refusing("items", code=57, status=401))
    everything = ("export", "--to", str(tmp_path / "all"), "--minute", "1")
    code, _, err = command(*everything)
    assert (code, "books.items: " in err) == (4, True)
    code, _, err = command(*everything)
    assert (code, "books.items: " in err) == (0, False)


def test_a_run_that_could_read_no_list_never_ends_well(
    server: Sandbox, command: Command, tmp_path: Path
) -> None:
    server.faults.append(refusing("items"))
    job = ("export", "items", "--to", str(tmp_path / "out"), "--minute", "1")
    for _ in range(2):
        code, _, err = command(*job)
        assert (code, "Not here." in err) == (4, True)


def test_a_failure_of_the_server_is_a_failure_of_each_run_and_of_one_list(
    server: Sandbox, command: Command, job: tuple[str, ...], tmp_path: Path
) -> None:
    server.faults.append(Fault(kind="status", path="*/items", status=501, times=None))
    for _ in range(2):
        told = command.json(*job)
        assert (told["status"], told["exit_code"]) == ("failed", 1)
        assert states(told)["items"] == ("failed", 1)
        assert rows(tmp_path, "contacts") == server.truth("books.contacts")


def test_a_spent_budget_comes_before_what_was_refused(
    server: Sandbox, command: Command, job: tuple[str, ...]
) -> None:
    server.faults.append(refusing("contacts"))
    told = command.json(*job, "--max-calls", "2")
    assert (told["status"], told["exit_code"]) == ("quota", 3)
    assert {state for state, _ in states(told).values()} >= {"stopped"}
    assert told["continue"].startswith("zoho-async export contacts")
    assert command(*job, "--strict", "--max-calls", "1")[0] == 3


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("invoices", "--accept takes short:LIST"),
        ("changed:invoices", "--accept takes short:LIST"),
        ("short:", "--accept takes short:LIST"),
        ("short:invoces", "did you mean invoices"),
    ],
)
def test_what_cannot_be_accepted_is_refused_before_any_call(
    server: Sandbox, command: Command, job: tuple[str, ...], value: str, words: str
) -> None:
    code, out, err = command(*job, "--accept", value)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert words in err
    assert server.calls == 0


def test_what_is_accepted_changes_nothing_of_a_proven_list(
    command: Command, job: tuple[str, ...]
) -> None:
    told = command.json(
        *job, "--strict", "--accept", "short:items", "--accept", "short:books.invoices",
        "--accept-shorter",
    )  # fmt: skip
    assert set(states(told).values()) == {("proven", 0)}


def test_resources_says_what_each_list_offers_as_evidence(command: Command) -> None:
    code, names, _ = command("resources")
    assert (code, "books.invoices" in names.splitlines()) == (0, True)
    code, out, _ = command("resources", "--json")
    assert code == 0
    assert '{"resource":"books.estimates","mode":"changed","evidence":"count"}' in out.splitlines()
    assert '"left_out":"debit notes","filter_by":["Type.DebitNote"]}' in out
    unknown = [line for line in out.splitlines() if line.endswith('"evidence":"unknown"}')]
    assert any('"resource":"books.fixed_assets.types"' in line for line in unknown)


def test_a_date_is_explained_with_its_time_zone(
    server: Sandbox, command: Command, tmp_path: Path
) -> None:
    job = ("export", "invoices", "--since", "2020-01-31", "--minute", "1", "--to")
    code, out, err = command(*job, str(tmp_path / "out"))
    assert code == 0
    assert "--since is 2020-01-31T00:00:00-03:00 (America/Sao_Paulo)" in err
    assert "2 calls made" in out
    server.faults.append(refusing("organizations"))
    code, _, err = command(*job, str(tmp_path / "other"))
    assert code == 0
    assert "(this computer's time zone, because the organization's could not be read)" in err


@pytest.fixture
def two_organizations() -> Generator[Sandbox]:
    sizes = {"books.contacts": 30, "books.invoices": 12, "books.items": 9}
    firms = Sandbox(sizes=sizes, minute=1.0, organization="111", organizations=("111", "222"))
    with serving(firms) as made:
        yield made


def test_an_organization_whose_place_is_refused_keeps_no_other_from_being_exported(
    two_organizations: Sandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = Command(two_organizations.environment(), tmp_path, monkeypatch, capsys)
    to = tmp_path / "out"
    job = ("export", *LISTS, "--to", str(to), "--minute", "1", "--all-organizations")
    assert command(*job)[0] == 0
    calls = two_organizations.calls
    told = command.json(*job, "--details", "--full")
    assert told["calls"] == two_organizations.calls - calls
    assert told["calls"] == 1 + sum(one["calls"] for one in told["resources"])
    with (to / "111/books/items.jsonl").open("ab") as file:
        file.write(b"mine\n")
    two_organizations.store("222").collection("contacts").change(3, {"contact_name": "New"})
    told = command.json(*job)
    assert (told["exit_code"], told["rows"], told["organization"]) == (2, 1, "222")
    assert "111/books/items.jsonl was changed by hand" in told["error"]
    assert told["continue"].endswith("--all-organizations --json --full")
