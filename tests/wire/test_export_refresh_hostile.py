"""The refresh of children against servers that repeat, refuse, ignore filters and lose parents.

Premises that the servers violate: pages do not overlap, filters work, a listed parent exists, every
child list can be read, a run ends by itself, and this computer's clock is right.
"""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.judges.list_server import INVOICES, ListServer, Manners, records
from tests.judges.raw_http import Reply, Request
from zoho_async.errors import BudgetSpent
from zoho_async.export import Export, ExportOptions, Summary
from zoho_async.export.catalog import KEY
from zoho_async.limits import Limits, MemoryLedger
from zoho_async.session import Session

COMMENTS = "invoices.comments"
MONTH = 30 * 86_400.0
#: Children per page.
PAGE = 3


class CommentServer(ListServer):
    """A list server whose invoices have comments, which change without them."""

    now: float

    def __init__(self, *, old: int = 3, recent: int = 9, seed: int = 0, **manners: Any) -> None:
        made = records(old + recent, moments=old + recent)
        for place in range(old):
            at = made[place].created - 2 * MONTH
            made[place] = replace(made[place], created=at, modified=at)
        super().__init__(made, Manners(**manners), seed=seed)
        self.comments: dict[str, dict[str, str]] = {one.id: {"1": "first"} for one in made}
        self.refused: set[str] = set()
        self.missing: set[str] = set()
        self.read: list[str] = []

    def __enter__(self) -> CommentServer:
        super().__enter__()
        return self

    async def _answer(self, request: Request) -> Reply:
        parent = request.path.removeprefix(INVOICES.path + "/").removesuffix("/comments")
        if not request.path.endswith("/comments"):
            return await super()._answer(request)
        self.calls += 1
        self.now += self.manners.seconds
        self.read.append(parent)
        if parent in self.refused:
            return self._said(400, {"code": 1000, "message": "no comments of this invoice"})
        if parent in self.missing or parent not in self.alive():
            return self._said(404, {"code": 1002, "message": "the invoice does not exist."})
        rows = [
            {"comment_id": f"{parent}{name}", "description": text}
            for name, text in self.comments[parent].items()
        ]
        page = int(request.query.get("page", "1"))
        begin = 0 if self.manners.ignores_page else (page - 1) * PAGE
        shown = rows[begin : begin + PAGE]
        if shown and begin and self.manners.repeats:
            shown = [rows[begin - 1], *shown]
        context = {"page": page, "per_page": PAGE, "has_more_page": begin + PAGE < len(rows)}
        if self.manners.ignores_page:
            context = {"page": 1, "per_page": PAGE, "has_more_page": True}
        return self._said(200, {"code": 0, "comments": shown, "page_context": context})

    def insert(self, *, created: float | None = None) -> str:
        name = super().insert(created=created)
        self.comments[name] = {"1": "first"}
        return name

    # -- the clock of the export ----------------------------------------------------------------

    ahead = 0.0

    def time(self) -> float:
        return self.now + self.ahead

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds

    # -- edits ----------------------------------------------------------------------------------

    def edit_some(self, chance: random.Random) -> None:
        """Edit comments, and sometimes their invoices."""
        for _ in range(chance.randrange(6)):
            alive = sorted(self.alive() - self.refused)
            parent = chance.choice(alive)
            comments = self.comments[parent]
            kind = chance.choice(("add", "add", "change", "remove", "modify", "delete", "insert"))
            if kind == "add":
                comments[str(len(comments) + chance.randrange(10, 99))] = f"at {self.now}"
            elif kind == "change" and comments:
                comments[chance.choice(list(comments))] = f"changed at {self.now}"
            elif kind == "remove" and comments:
                del comments[chance.choice(list(comments))]
            elif kind == "modify":
                self.modify(parent)
            elif kind == "delete" and len(alive) > 6:
                self.delete(parent)
            elif kind == "insert":
                self.insert()

    def truth_of(self, parents: set[str]) -> dict[str, str]:
        return {
            f"{parent}/{parent}{name}": text
            for parent in parents & self.alive()
            for name, text in self.comments[parent].items()
        }


async def export(server: CommentServer, to: Path, **asked: Any) -> Summary:
    limits = Limits(window=0.05, linger=0.05, reserve=0)
    environment = server.environment()
    async with Session.from_env(environment, limits=limits, ledger=MemoryLedger()) as zoho:
        options = ExportOptions(**asked)
        async with Export(zoho, [COMMENTS], to=to, options=options, clock=server) as job:
            return await job.wait()


def written(to: Path) -> list[dict[str, Any]]:
    folder = to / "books"
    files = [
        folder / f"{COMMENTS}.jsonl",
        *sorted((folder / f"{COMMENTS}.changes").glob("*.jsonl")),
    ]
    return [json.loads(line) for file in files for line in file.read_bytes().splitlines()]


def state_of(rows: list[dict[str, Any]]) -> dict[str, str]:
    """The comments that are left after all rows."""
    left: dict[str, str] = {}
    for row in rows:
        if "_deleted_time" in row:
            del left[row[KEY]]
        else:
            assert left.get(row[KEY]) != row["description"], "a row was written twice"
            left[row[KEY]] = row["description"]
    return left


MANNERS: dict[str, dict[str, Any]] = {
    "honest": {},
    "repeats": {"repeats": 1.0, "largest_page": 4},
    "ignores filters": {"ignores_filters": True, "largest_page": 5},
    "shuffles": {"ties": "shuffled", "ignores_sort": True, "largest_page": 5},
    "no times": {"times": False},
    "no totals": {"total": "none"},
    "edits meanwhile": {"edits": 0.2, "kinds": ("modify", "insert"), "largest_page": 4},
}


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("manners", MANNERS)
async def test_children_arrive_once_whatever_the_server_does(
    tmp_path: Path, manners: str, seed: int
) -> None:
    chance = random.Random(f"{manners} {seed}")
    with CommentServer(seed=seed, **MANNERS[manners]) as server:
        await export(server, tmp_path)
        for _ in range(6):
            server.edit_some(chance)
            server.now += chance.choice((0.0, 600.0, 86_400.0))
            try:
                await export(server, tmp_path, max_calls=chance.randrange(1, 15))
            except BudgetSpent:
                continue
        server.manners = replace(server.manners, edits=0.0)
        for _ in range(3):  # one to end the refresh that is under way, one for what came after
            server.now += 600.0
            summary = await export(server, tmp_path)
            assert summary.resources[0].status == "done"
        rows = written(tmp_path)
        now = {one.id for one in server.truth if one.modified > server.now - MONTH}
        left = {key: text for key, text in state_of(rows).items() if key.split("/")[0] in now}
        alive = {key: text for key, text in left.items() if key.split("/")[0] in server.alive()}
        assert alive == server.truth_of(now)


async def test_a_parent_that_is_listed_but_missing_loses_its_children_and_no_other_does(
    tmp_path: Path,
) -> None:
    with CommentServer() as server:
        await export(server, tmp_path)
        missing, refused = sorted(server.alive())[-2:]
        server.missing, server.refused = {missing}, {refused}
        for _ in range(2):
            server.now += 600.0
            server.comments[refused]["2"] = "not shown"
            summary = await export(server, tmp_path)
            (one,) = summary.resources
            assert (one.status, one.passed_over) == ("done", 1)
        parents = server.alive() - {missing, refused}
        expected = server.truth_of(set(parents)) | {f"{refused}/{refused}1": "first"}
        assert state_of(written(tmp_path)) == expected


async def test_a_child_list_that_repeats_its_first_page_ends(tmp_path: Path) -> None:
    with CommentServer(recent=2) as server:
        parent = max(server.alive())
        server.comments[parent] = {str(number): "same" for number in range(PAGE)}
        server.manners = replace(server.manners, ignores_page=True)
        await export(server, tmp_path)
        server.now += 600.0
        await export(server, tmp_path)
        assert not server.exhausted
        assert state_of(written(tmp_path)) == server.truth_of(set(server.alive()))


@pytest.mark.parametrize("ahead", [-86_400.0, 0.0, 3_600.0])
async def test_a_wrong_clock_moves_the_window_and_nothing_else(
    tmp_path: Path, ahead: float
) -> None:
    with CommentServer() as server:
        server.ahead = ahead
        await export(server, tmp_path)
        server.read.clear()
        server.now += 86_400.0
        await export(server, tmp_path)
        recent = {one.id for one in server.truth if one.modified > server.now - MONTH}
        assert sorted(server.read) == sorted(recent)


@pytest.mark.parametrize("ignores_filters", [True, False])
async def test_parents_without_a_time_of_modification_count_as_changed_unless_a_filter_selects(
    tmp_path: Path, ignores_filters: bool
) -> None:
    with CommentServer(times=False, ignores_filters=ignores_filters) as server:
        await export(server, tmp_path)
        server.read.clear()
        server.now += 600.0
        await export(server, tmp_path)
        recent = {one.id for one in server.truth if one.modified > server.now - MONTH}
        assert sorted(server.read) == sorted(server.alive() if ignores_filters else recent)
