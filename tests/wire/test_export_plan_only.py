"""A plan makes few calls, changes nothing, and agrees with what the run then does."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from pytest_aiohttp.plugin import AiohttpServer

from tests.support.command import Command, serving
from tests.support.unlimited_sandbox import strict_session
from zoho_async import Session
from zoho_async.errors import ZohoError
from zoho_async.export import Export, Planned
from zoho_async.export.errors import CheckpointRefused, DestinationError, ExportRunning
from zoho_async.export.options import ExportOptions
from zoho_async.sandbox import Sandbox

PLACES = ("files", "files.duckdb", "files.sqlite")
LISTS = ("contacts", "projects")


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    sizes = {"books.contacts": 250, "books.projects": 30, "books.invoices": 210}
    async with Sandbox(sizes=sizes, per_minute=10**6, per_day=10**6, in_flight=10**3) as made:
        yield made


@pytest.fixture
async def zoho(sandbox: Sandbox) -> AsyncIterator[Session]:
    async with strict_session(sandbox) as session:
        yield session


def content(folder: Path) -> dict[str, str]:
    """Every file below a folder, with what it holds."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


async def plan_of(zoho: Session, to: Path, *lists: str, **options: object) -> Planned:
    wanted = ExportOptions(**options)  # type: ignore[arg-type]  # options by name
    return await Export(zoho, lists or LISTS, to=to, options=wanted).plan()


async def run_of(zoho: Session, to: Path, *lists: str, **options: object) -> Export:
    wanted = ExportOptions(**options)  # type: ignore[arg-type]  # options by name
    async with Export(zoho, lists or LISTS, to=to, options=wanted) as job:
        await job.wait()
    return job


@pytest.mark.parametrize("place", PLACES)
async def test_a_plan_calls_once_per_new_list_and_writes_nothing(
    zoho: Session, sandbox: Sandbox, tmp_path: Path, place: str
) -> None:
    to = tmp_path / place
    before = sandbox.calls
    plan = await plan_of(zoho, to)
    assert sandbox.calls - before == plan.calls_made == 2
    assert content(tmp_path) == {}
    assert not to.exists()
    job = await run_of(zoho, to)
    assert plan.exact
    assert plan.calls == job.summary.calls == job.summary.planned_calls
    assert {one.resource: one.calls for one in plan.resources} == {
        one.resource: one.calls for one in job.summary.resources
    }


@pytest.mark.parametrize("place", PLACES)
async def test_a_later_run_is_planned_without_calls(
    zoho: Session, sandbox: Sandbox, tmp_path: Path, place: str
) -> None:
    to = tmp_path / place
    await run_of(zoho, to)
    held, before = content(tmp_path), sandbox.calls
    plan = await plan_of(zoho, to)
    assert sandbox.calls == before
    assert content(tmp_path) == held
    changed, compared = plan.resources
    assert (changed.mode, changed.calls, changed.exact) == ("changed", 1, False)
    assert (compared.mode, compared.estimated) == ("compared", True)
    job = await run_of(zoho, to)
    assert plan.calls <= job.summary.calls <= plan.calls + 1


@pytest.mark.parametrize("place", PLACES)
async def test_an_interrupted_run_is_planned_by_its_checkpoint(
    zoho: Session, sandbox: Sandbox, tmp_path: Path, place: str
) -> None:
    to = tmp_path / place
    with pytest.raises(ZohoError):
        await run_of(zoho, to, "contacts", max_calls=1, details=True)
    held, before = content(tmp_path), sandbox.calls
    plan = await plan_of(zoho, to, "contacts", details=True)
    assert sandbox.calls == before
    assert content(tmp_path) == held
    job = await run_of(zoho, to, "contacts", details=True)
    assert abs(plan.calls - job.summary.calls) <= 1  # a page may be read again
    assert job.summary.planned_calls == job.summary.calls


@pytest.mark.long
async def test_records_are_priced(zoho: Session, sandbox: Sandbox, tmp_path: Path) -> None:
    lists = ("contacts", "invoices", "invoices.comments")
    before = sandbox.calls
    plan = await plan_of(zoho, tmp_path / "out", *lists, details=True, files=True)
    assert sandbox.calls - before == plan.calls_made
    job = await run_of(zoho, tmp_path / "out", *lists, details=True, files=True)
    made = {one.resource: one for one in job.summary.resources}
    for one in plan.resources:
        assert one.detail_calls > 0
        if one.exact:
            assert one.calls == made[one.resource].calls
        else:
            assert one.calls <= made[one.resource].calls
    assert plan.calls_made <= 3 * len(lists)


async def test_another_organization_is_refused(
    zoho: Session, sandbox: Sandbox, tmp_path: Path
) -> None:
    await run_of(zoho, tmp_path / "out")
    with pytest.raises(CheckpointRefused):
        await Export(zoho.for_organization("1"), LISTS, to=tmp_path / "out").plan()


async def test_a_killed_transaction_is_read_without_repairing_it(
    zoho: Session, sandbox: Sandbox, tmp_path: Path
) -> None:
    await run_of(zoho, tmp_path / "out")
    await run_of(zoho, tmp_path / "out.sqlite")
    folder = tmp_path / "out/.zoho-export"
    shutil.copy(folder / "checkpoint.sqlite", folder / "checkpoint.sqlite-journal")
    (tmp_path / "out.sqlite-wal").write_bytes(b"cut short")
    held = content(tmp_path)
    for to in (tmp_path / "out", tmp_path / "out.sqlite"):
        assert (await plan_of(zoho, to)).calls >= 2
    assert content(tmp_path) == held


async def test_a_refused_list_is_in_the_plan(aiohttp_server: AiohttpServer, tmp_path: Path) -> None:
    from tests.support.answering_server import AnsweringServer

    server = AnsweringServer()
    await server.open(aiohttp_server)

    async def answer(request: web.Request) -> web.Response:
        if request.path.endswith("/invoices"):
            return web.json_response({"code": 57, "message": "no \x1b[31mmodule"}, status=400)
        context = {"page": 1, "per_page": 200, "has_more_page": True, "total": 401}
        rows = [{"contact_id": str(one)} for one in range(200)]
        return web.json_response(
            {"code": 0, "message": "", "contacts": rows, "page_context": context}
        )

    server.answers = [answer]
    async with server.session() as zoho:
        plan = await Export(zoho, ["invoices", "contacts"], to=tmp_path / "out").plan()
    refused, counted = plan.resources
    assert refused.error is not None
    assert "module" in refused.error
    assert (counted.calls, counted.rows, counted.exact) == (3, 401, True)
    assert not plan.exact
    calls = [one for one in server.taken if one.path.endswith("/contacts")]
    assert len(calls) <= 4  # the first page, and the counts of a list whose default hides records


async def test_a_running_export_can_be_planned(zoho: Session, tmp_path: Path) -> None:
    for place in PLACES:
        async with Export(zoho, LISTS, to=tmp_path / place) as job:
            other = Export(zoho, LISTS, to=tmp_path / place)
            if place.endswith(".duckdb"):  # the file is open in one place at a time
                with pytest.raises((DestinationError, ExportRunning)):
                    await other.plan()
            else:
                assert [one.error for one in (await other.plan()).resources] == [None] * len(LISTS)
            await job.wait()


def test_the_command_prints_the_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = {"books.contacts": 401, "books.projects": 3}
    with serving(Sandbox(sizes=sizes, per_day=1000)) as sandbox:
        command = Command(sandbox.environment(), tmp_path, monkeypatch, capsys)
        to = str(tmp_path / "out")
        code, out, _ = command("export", "contacts", "projects", "--plan-only", "--to", to)
        assert code == 0
        assert out.splitlines()[0].split() == ["list", "rows", "calls", "time", "days"]
        assert "books.contacts" in out
        assert "4 calls, 0 s, 1 day; 2 calls made for this plan, nothing written" in out
        assert max(map(len, out.splitlines())) <= 80
        assert not (tmp_path / "out").exists()
        plan = command.json("export", "contacts", "projects", "--plan-only", "--to", to)
        assert (plan["status"], plan["calls"], plan["exact"]) == ("planned", 4, True)
        done = command.json("export", "contacts", "projects", "--to", to)
        assert (done["planned_calls"], done["calls"], done["plan_exact"]) == (4, 4, True)
        code, out, _ = command("export", "contacts", "projects", "--plan-only", "--to", to)
        assert "1+" in out
        assert "~3" in out
        assert "about 2 calls" in out
        code, out, err = command("export", "contact", "--plan-only", "--json", "--to", to)
        assert (code, json.loads(out)["status"]) == (2, "refused")
        assert "did you mean contacts" in err
