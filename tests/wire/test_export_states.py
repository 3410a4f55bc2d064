"""Exit codes and messages of the command for each state of a list."""

from __future__ import annotations

import json
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


def test_a_list_without_a_total_is_settled_by_a_second_pass_or_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = Sandbox(sizes={"books.contacts": 450}, minute=1.0, per_day=29)
    made.faults.append(Fault(kind="no_total", path="*/contacts", times=None))
    with serving(made) as server:
        command = Command(server.environment(), tmp_path, monkeypatch, capsys)
        job = ("export", "contacts", "--to", str(tmp_path / "out"), "--minute", "1")
        code, out, _ = command(*job)
        assert (code, server.calls in (4, 5)) == (0, True), "one pass, and perhaps a page ahead"
        assert "books.contacts: Zoho sends no count of it" in out
        assert "the next run reads the list again" in out
        held = command.json(*job)["resources"][0]
        assert (held["mode"], held["state"], held["rows"]) == ("compared", "uncheckable", 0)
        assert "the next run reads the list again" in held["note"]
        server.limits.per_day = 10_000
        (tmp_path / "later").mkdir()
        command = Command(server.environment(), tmp_path / "later", monkeypatch, capsys)
        settled = command.json(*job)["resources"][0]
        assert (settled["mode"], settled["note"]) == ("compared", None)
        calls = server.calls
        assert command.json(*job)["resources"][0]["mode"] == "changed"
        assert server.calls - calls == 2


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
    found = {one["resource"]: one for one in map(json.loads, out.splitlines())}
    estimates = found["books.estimates"]
    assert (estimates["mode"], estimates["evidence"]) == ("changed", "count")
    assert found["books.invoices"]["left_out"] == "debit notes"
    assert found["books.invoices"]["filter_by"] == ["Type.DebitNote"]
    assert found["books.fixed_assets.types"]["evidence"] == "unknown"


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


@pytest.fixture
def four_organizations() -> Generator[Sandbox]:
    """222 is expired, 333 has no items; both by codes that no document names."""
    sizes = {"books.contacts": 30, "books.invoices": 12, "books.items": 9}
    names = ("111", "222", "333", "444")
    firms = Sandbox(sizes=sizes, minute=1.0, organization="111", organizations=names)
    with serving(firms) as made:
        yield made


def expired(code: int = 103001, status: int = 400) -> Fault:
    message = "Your subscription has expired."
    return Fault(
        kind="code", organization="222", status=status, code=code, message=message, times=None
    )


def switched_off() -> Fault:
    return Fault(
        kind="code", organization="333", path="*/items", status=400, code=9999,
        message="Items are switched off.", times=None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (103001, 400),
        (57, 401),
        *(pytest.param(code, 400, marks=pytest.mark.long) for code in (6041, 2)),
    ],
)
def test_an_expired_organization_and_a_module_that_is_off_are_reported_once(
    four_organizations: Sandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    code: int,
    status: int,
) -> None:
    server = four_organizations
    command = Command(server.environment(), tmp_path, monkeypatch, capsys)
    job = ("export", *LISTS, "--to", str(tmp_path / "out"), "--minute", "1", "--all-organizations")

    server.faults[:] = [expired(code, status), switched_off()]
    ended, out, err = command(*job)
    assert (ended, "done: 144 rows" in out) == (4, True)  # 3 x 51 rows without 9 items
    problems = [line for line in err.splitlines() if line.startswith("zoho-async: ")]
    if code == 57:  # each list names the scope that it may lack
        assert len(problems) == 3 + 1 + 1
    else:
        assert len(problems) == 3
        assert "organization 222: Zoho refused every list: HTTP" in problems[0]
        assert "333/books.items: GET /items" in problems[1]
        assert "the list was not read; each run asks again" in problems[1]
        assert problems[2] == "zoho-async: not complete: organization 222, 333/books.items"

    calls = server.calls
    ended, out, err = command(*job)
    assert (ended, "222" in out, "zoho-async: " in err) == (0, False, False)
    assert f"{server.calls - calls} calls made" in out
    of_222 = [one for one in server.arrivals if one.organization == "222"]
    assert command.json(*job)["exit_code"] == 0
    asked = [one for one in server.arrivals if one.organization == "222"][len(of_222) :]
    assert len({one.path for one in asked}) == 1, "one list is asked"

    server.faults.clear()
    told = command.json(*job)
    assert (told["exit_code"], told["rows"]) == (0, 60)
    assert {one["state"] for one in told["resources"]} == {"proven"}
    for name in LISTS:
        rows = (tmp_path / f"out/222/books/{name}.jsonl").read_bytes().splitlines()
        assert sorted(rows) == sorted(server.truth(f"books.{name}", "222"))
    server.faults[:] = [expired(code, status)]
    assert command.json(*job)["exit_code"] == 4


def test_an_organization_that_is_open_again_is_read_although_a_module_is_off(
    four_organizations: Sandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server = four_organizations
    command = Command(server.environment(), tmp_path, monkeypatch, capsys)
    job = ("export", *LISTS, "--to", str(tmp_path / "out"), "--minute", "1", "--all-organizations")
    off = Fault(
        kind="code", organization="222", path="*/items", status=400, code=103001,
        message="Your subscription has expired.", times=None,
    )  # fmt: skip
    server.faults[:] = [off]
    assert command(*job)[0] == 4
    server.faults[:] = [expired()]
    assert command(*job)[0] == 4
    server.faults[:] = [off]
    server.store("222").collection("contacts").change(3, {"contact_name": "New"})
    told = command.json(*job)  # a list that was read before is asked, and not items
    assert (told["exit_code"], told["rows"]) == (0, 1)


@pytest.mark.parametrize(
    "options",
    [(), ("--details", "--full"), pytest.param(("--since", "2020-01-31"), marks=pytest.mark.long)],
)
def test_the_calls_of_several_organizations_add_up_to_what_the_server_counts(
    four_organizations: Sandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
) -> None:
    server = four_organizations
    command = Command(server.environment(), tmp_path, monkeypatch, capsys)
    job = ("export", *LISTS, "--to", str(tmp_path / "out"), "--minute", "1", "--all-organizations")
    for _ in range(2):
        broken = Fault(kind="drop", organization="444", path="*/contacts")
        listing = Fault(kind="drop", path="*/organizations")
        server.faults[:] = [expired(), switched_off(), broken, listing]
        calls = server.calls
        told = command.json(*job, *options)
        assert told["calls"] == server.calls - calls
        assert told["calls"] == 2 + sum(one["calls"] for one in told["resources"])
        assert told["least_calls"] <= told["calls"]
    if "--details" in options:
        assert told["calls"] - told["least_calls"] <= 9, "details are calls that are needed"


def test_the_calls_of_an_organization_whose_place_is_refused_are_counted(
    two_organizations: Sandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server = two_organizations
    command = Command(server.environment(), tmp_path, monkeypatch, capsys)
    job = ("export", *LISTS, "--to", str(tmp_path / "out"), "--minute", "1", "--all-organizations")
    assert command(*job)[0] == 0
    with (tmp_path / "out/111/books/items.jsonl").open("ab") as file:
        file.write(b"mine\n")
    calls = server.calls
    told = command.json(*job)
    assert (told["exit_code"], told["calls"]) == (2, server.calls - calls)
    server.faults.append(Fault(kind="code", path="*/organizations", code=4, status=400, times=None))
    calls = server.calls
    assert command.json(*job)["calls"] == server.calls - calls == 1
