"""The judges are right and share no code with the package."""

from __future__ import annotations

import ast
import json
import random
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.judges.arrivals import ArrivalJudge, most_in_flight, worst_window
from tests.judges.list_server import INVOICES, ListServer, Manners, records

JUDGES = ("raw_http.py", "arrivals.py", "list_server.py")


def imports_of(source: Path) -> set[str]:
    """The modules that ``source`` imports, at any level."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            found.add(node.module or "")
    return found


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=60) as reply:
        return json.load(reply)


def refused(url: str) -> tuple[int, int]:
    """The status and code of a refusal."""
    with pytest.raises(urllib.error.HTTPError) as refusal:
        get(url)
    with refusal.value as reply:
        return reply.code, json.load(reply)["code"]


def test_judges_import_nothing_from_the_package() -> None:
    folder = Path(__file__).parent
    allowed = {f"tests.judges.{name.removesuffix('.py')}" for name in JUDGES}
    for name in JUDGES:
        for module in imports_of(folder / name) - allowed:
            assert module.partition(".")[0] in sys.stdlib_module_names, (name, module)


def test_the_worst_window_is_exact() -> None:
    assert worst_window([], 4.0) == 0
    assert worst_window([0.0, 4.0, 8.0], 4.0) == 1, "a window does not hold its own end"
    assert worst_window([0.0, 3.999, 4.0], 4.0) == 2
    chance = random.Random(1)
    for _ in range(50):
        moments = [chance.uniform(0, 20) for _ in range(40)]
        slow = max(sum(begin <= one < begin + 4 for one in moments) for begin in moments)
        assert worst_window(moments, 4.0) == slow


def test_calls_in_flight_are_counted() -> None:
    assert most_in_flight([]) == 0
    assert most_in_flight([(0, 1), (1, 2)]) == 1
    assert most_in_flight([(0, 2), (1, 3), (1.5, 1.6), (4, 5)]) == 3


def test_arrivals_are_judged_in_a_process_that_clients_cannot_touch() -> None:
    with ArrivalJudge(limit=3, window=60.0) as judge:
        calls = judge.url + "/books/v3/contacts?organization_id="
        for _ in range(3):
            assert get(calls + "1")["code"] == 0
        assert get(calls + "2")["code"] == 0
        assert refused(calls + "1") == (429, 44)
        verdict = judge.report("1", window=60.0)
        assert (verdict.calls, verdict.worst, verdict.refused) == (4, 4, 1)
        assert verdict.first_bytes <= verdict.last_bytes
        assert verdict.since(verdict.last_bytes[-1]) == 1
        assert judge.report("2", window=60.0).worst == 1
        assert judge.report("3", window=60.0).calls == 0
        assert judge.organizations() == ("1", "2")


def page_of(server: ListServer, page: int, **query: object) -> dict[str, Any]:
    asked = "&".join(f"{name}={value}" for name, value in query.items())
    reply: dict[str, Any] = get(f"{server.url}{INVOICES.path}?page={page}&per_page=200&{asked}")
    return reply


def ids_of(reply: dict[str, Any]) -> list[str]:
    return [row["invoice_id"] for row in reply["invoices"]]


def test_an_honest_list_server_sends_its_whole_list() -> None:
    with ListServer(records(450, moments=450)) as server:
        replies = [
            page_of(server, page, sort_column="created_time", response_option=1)
            for page in (1, 2, 3)
        ]
        assert [len(reply["invoices"]) for reply in replies] == [200, 200, 50]
        assert {reply["page_context"]["total"] for reply in replies} == {450}
        assert [reply["page_context"]["has_more_page"] for reply in replies] == [True, True, False]
        seen = [name for reply in replies for name in ids_of(reply)]
        assert sorted(seen) == sorted(server.alive())
        assert server.is_complete(seen, 0)
        assert not server.is_complete(seen[1:], 0)


def test_ties_at_a_page_border_can_hide_a_record_forever() -> None:
    with ListServer(records(450, moments=1), Manners(ties="flipped")) as server:
        asked = {"sort_column": "created_time", "response_option": 1}
        seen = {name for page in (1, 2, 3) for name in ids_of(page_of(server, page, **asked))}
        assert len(seen) < 450


def test_the_oracle_knows_what_existed_always_and_at_times() -> None:
    with ListServer(records(10, moments=10)) as server:
        page_of(server, 1)
        born = server.insert()
        server.delete("1000")
        page_of(server, 1)
        assert server.throughout(0) == server.alive() - {born}
        assert server.sometime(0) == server.alive() | {"1000"}
        assert server.is_complete(server.alive(), 0)
        assert server.is_complete(server.alive() - {born} | {"1000"}, 0)
        assert not server.is_complete(server.throughout(0), 0)


def test_an_adversary_repeats_itself_by_its_seed() -> None:
    wild = Manners(ties="shuffled", edits=0.9, repeats=0.5, more="random", total="changing")
    logs = []
    for _ in range(2):
        with ListServer(records(500, moments=3), wild, seed=7) as server:
            for page in (1, 2, 3, 1):
                page_of(server, page, sort_column="created_time", response_option=1)
            logs.append(server.log)
    assert logs[0] == logs[1]
    assert logs[0][0].alive != logs[0][3].alive


def test_a_reader_without_end_is_stopped() -> None:
    with ListServer(records(3, moments=1), Manners(more="always"), most_calls=2) as server:
        page_of(server, 1)
        page_of(server, 2)
        assert refused(f"{server.url}{INVOICES.path}?page=3") == (400, 9)
        assert server.exhausted
