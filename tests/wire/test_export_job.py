"""An export ends with every row of the organization, once, whatever interrupts it."""

from __future__ import annotations

import asyncio
import errno
import json
import os
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from zoho_async.errors import (
    ConfigurationError,
    DailyQuotaExceeded,
    MissingScope,
    SessionClosed,
)
from zoho_async.export import (
    CheckpointRefused,
    DestinationError,
    Export,
    ExportEvent,
    ExportOptions,
    ExportRunning,
    Planned,
    Progress,
    ResourceDone,
    ResourceFailed,
    Summary,
    UnknownResource,
)
from zoho_async.files import AppendedFile
from zoho_async.limits import Limits, MemoryLedger
from zoho_async.sandbox import Fault, Sandbox
from zoho_async.session import Session

SIZES = {
    "books.contacts": 450,
    "books.items": 200,
    "books.invoices": 1_100,
    "books.projects": 0,
}
ORDERED = ("books.contacts", "books.invoices", "books.projects")
MINUTE = 1.0


def sandbox(**rules: object) -> Sandbox:
    return Sandbox(**({"sizes": SIZES, "minute": MINUTE} | rules))  # type: ignore[arg-type]  # passed on


@asynccontextmanager
async def session(zoho: Sandbox, ledger: MemoryLedger | None = None) -> AsyncGenerator[Session]:
    limits = Limits(window=zoho.limits.minute, linger=zoho.limits.minute / 2)
    environ = zoho.environment()
    ledger = ledger or MemoryLedger()
    async with Session.from_env(environ, limits=limits, ledger=ledger) as one:
        yield one


async def export(
    zoho: Session, to: Path, resources: Sequence[str] = (), *, restart: bool = False
) -> tuple[list[ExportEvent], Summary]:
    async with Export(zoho, resources, to=to, options=ExportOptions(restart=restart)) as job:
        events = [event async for event in job]
    return events, job.summary


def lines(directory: Path, resource: str) -> list[bytes]:
    product, _, name = resource.partition(".")
    return (directory / product / f"{name}.jsonl").read_bytes().splitlines()


def assert_whole(zoho: Sandbox, directory: Path) -> None:
    """Every list is there as the server has it, in the order of creation where it allows one."""
    for resource in [*SIZES, "books.organizations"]:
        truth = zoho.truth(resource)
        written = lines(directory, resource)
        assert written == truth if resource in ORDERED else sorted(written) == sorted(truth)
    assert not list(directory.rglob("*.part"))
    assert zoho.refused == 0


async def test_every_row_of_every_list_arrives_once_with_its_own_bytes(tmp_path: Path) -> None:
    async with sandbox() as server, session(server) as zoho:
        events, summary = await export(zoho, tmp_path, (*SIZES, "organizations"))
        assert_whole(server, tmp_path)
        assert summary.done
        assert summary.rows == sum(SIZES.values()) + 1
        assert summary.least_calls == 3 + 6 + 1 + 1 + 1
        assert summary.calls == server.calls == summary.least_calls + 1  # counts debit notes
        assert summary.refused == 0
        plan = next(event for event in events if isinstance(event, Planned))
        assert (plan.rows, plan.calls, plan.exact) == (summary.rows, summary.calls, True)
        done = {event.resource: event for event in events if isinstance(event, ResourceDone)}
        assert {name: event.rows for name, event in done.items()} == SIZES | {
            "books.organizations": 1
        }


@pytest.mark.parametrize(
    "rules",
    [
        pytest.param({"latency": 0.02}, marks=pytest.mark.long),
        {"latency": (0.0, 0.3), "window": "fixed"},
        {"latency": 0.1, "in_flight": 2},
    ],
)
async def test_no_call_is_refused_whatever_the_latency(
    tmp_path: Path, rules: dict[str, object]
) -> None:
    async with sandbox(**rules) as server:
        limits = Limits(
            window=MINUTE, linger=MINUTE / 2, in_flight=server.limits.in_flight, burst=90
        )
        environ = server.environment()
        async with Session.from_env(environ, limits=limits, ledger=MemoryLedger()) as zoho:
            await export(zoho, tmp_path)
        assert_whole(server, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("window", ["rolling", "fixed"])
@pytest.mark.parametrize("latency", [0.02, 0.3, 2.0])
async def test_a_large_export_fits_the_limits_at_every_distance(
    tmp_path: Path, latency: float, window: str
) -> None:
    large = {"books.contacts": 4_000, "books.items": 2_000, "books.invoices": 20_000}
    async with sandbox(sizes=large, minute=6.0, latency=latency, window=window) as server:
        async with session(server) as zoho:
            _, summary = await export(zoho, tmp_path, list(large))
        assert (server.refused, summary.refused) == (0, 0)
        assert summary.calls == server.calls == summary.least_calls + 1  # it counts debit notes
        for resource in ("books.contacts", "books.invoices"):
            assert lines(tmp_path, resource) == server.truth(resource)
        assert sorted(lines(tmp_path, "books.items")) == sorted(server.truth("books.items"))


@pytest.mark.parametrize(
    "pages", [1, 7, *(pytest.param(pages, marks=pytest.mark.long) for pages in (0, 3, 9))]
)
async def test_an_export_left_early_continues_where_it_was(tmp_path: Path, pages: int) -> None:
    ledger = MemoryLedger()  # the calls of the run that was left count in the same minute
    async with sandbox() as server:
        left = pages
        async with session(server, ledger) as zoho, Export(zoho, to=tmp_path) as job:
            async for event in job:
                left -= isinstance(event, Progress)
                if left < 0:
                    break
        assert not job.summary.done
        before, rows = server.calls, job.summary.rows
        async with session(server, ledger) as zoho:
            events, summary = await export(zoho, tmp_path)
        assert_whole(server, tmp_path)
        plan = next(event for event in events if isinstance(event, Planned))
        assert sum(one.rows_before for one in plan.resources) == rows
        assert summary.rows_new == summary.rows - rows
        # one page of each list is read twice at most, and look-ahead that was thrown away
        assert server.calls - before <= summary.least_calls + len(summary.resources)


async def test_leaving_early_leaves_no_task_and_sends_nothing_more(tmp_path: Path) -> None:
    async with sandbox(latency=0.05) as server, session(server) as zoho:
        with pytest.raises(ZeroDivisionError):  # noqa: PT012 - the loop is what raises
            async with Export(zoho, ["invoices"], to=tmp_path) as job:
                async for _ in job:
                    raise ZeroDivisionError
        sent = server.calls
        ours = [one for one in asyncio.all_tasks() if one.get_name().startswith("zoho_async")]
        assert ours == []
        await zoho.request("GET", "/organizations")
        assert server.calls == sent + 1
        async with Export(zoho, ["invoices"], to=tmp_path) as job:
            await job.wait()
        assert lines(tmp_path, "books.invoices") == server.truth("books.invoices")


async def test_rows_deleted_between_two_runs_cost_no_other_row(tmp_path: Path) -> None:
    async with sandbox() as server:
        async with session(server) as zoho, Export(zoho, ["invoices"], to=tmp_path) as job:
            async for event in job:
                if isinstance(event, Progress) and event.page == 3:
                    break
        written = lines_of_part(tmp_path, "books.invoices")
        (stopped,) = job.summary.resources
        assert stopped.file == str(tmp_path / "books" / "invoices.jsonl.part")
        invoices = server.store().collection("books.invoices")
        for index in list(invoices.indexes())[50:350]:
            invoices.remove(index)
        async with session(server) as zoho:
            await export(zoho, tmp_path, ["invoices"])
        exported = lines(tmp_path, "books.invoices")
        assert exported[: len(written)] == written
        assert len(exported) == len(set(exported))
        assert set(server.truth("books.invoices")) <= set(exported)


def lines_of_part(directory: Path, resource: str) -> list[bytes]:
    product, _, name = resource.partition(".")
    return (directory / product / f"{name}.jsonl.part").read_bytes().splitlines()


async def test_a_full_export_again_keeps_the_old_files_until_the_new_are_complete(
    tmp_path: Path,
) -> None:
    async with sandbox() as server, session(server) as zoho:
        await export(zoho, tmp_path, ["invoices"])
        old = lines(tmp_path, "books.invoices")
        invoices = server.store().collection("books.invoices")
        invoices.remove(next(iter(invoices.indexes())))
        async with Export(zoho, ["invoices"], to=tmp_path, options=ExportOptions(full=True)) as job:
            async for event in job:
                if isinstance(event, Progress):
                    assert lines(tmp_path, "books.invoices") == old
        assert lines(tmp_path, "books.invoices") == old[1:] == server.truth("books.invoices")


async def test_what_an_interrupted_run_finished_is_not_read_again(tmp_path: Path) -> None:
    async with sandbox(sizes=SIZES | {"books.invoices": 6_000}) as server:
        async with session(server) as zoho, Export(zoho, ["items", "invoices"], to=tmp_path) as job:
            async for event in job:
                if isinstance(event, ResourceDone):
                    break
        assert [one.status for one in job.summary.resources] == ["done", "partial"]
        async with session(server) as zoho:
            events, _ = await export(zoho, tmp_path, ["invoices", "items"])
        plan = next(event for event in events if isinstance(event, Planned))
        assert [one.finished for one in plan.resources] == [False, True]
        assert sum(arrival.path.endswith("/items") for arrival in server.arrivals) == 1


async def test_a_list_that_zoho_refuses_costs_only_itself(tmp_path: Path) -> None:
    refusal = Fault(kind="code", path="*/items", status=401, code=57, times=None)
    async with sandbox(faults=[refusal]) as server, session(server) as zoho:
        events, summary = await export(zoho, tmp_path, [*SIZES, "organizations"])
        failed = [event for event in events if isinstance(event, ResourceFailed)]
        assert [one.resource for one in failed] == ["books.items"]
        assert isinstance(failed[0].error, MissingScope)
        assert not summary.done
        statuses = {one.resource: one.status for one in summary.resources}
        assert statuses.pop("books.items") == "failed"
        assert set(statuses.values()) == {"done"}
        server.faults.clear()
        refusal.times = 0
        before = server.calls
        await export(zoho, tmp_path, [*SIZES, "organizations"])
        assert server.calls - before == 5  # the others are asked for what changed, as ever
        assert_whole(server, tmp_path)


async def test_a_list_that_the_token_may_not_read_fails_nothing_unless_it_was_asked_for(
    tmp_path: Path,
) -> None:
    refusal = Fault(kind="code", path="*/items", status=401, code=57, times=None)
    async with sandbox(faults=[refusal]) as server, session(server) as zoho:
        events, summary = await export(zoho, tmp_path)
        (failed,) = [event for event in events if isinstance(event, ResourceFailed)]
        assert (failed.resource, failed.allowed, summary.done) == ("books.items", False, True)
        status = {one.resource: one.status for one in summary.resources}
        assert status["books.items"] == "not allowed"
        _, summary = await export(zoho, tmp_path, ["items"])
        assert not summary.done
        assert [one.status for one in summary.resources] == ["failed"]


async def test_a_server_that_repeats_rows_and_breaks_replies_still_gives_each_row_once(
    tmp_path: Path,
) -> None:
    faults = [
        Fault(kind="repeat_rows", path="*/contacts", rows=20),
        Fault(kind="cut", path="*/invoices", after=1),
        Fault(kind="empty", path="*/invoices", after=2),
        Fault(kind="status", path="*/invoices", after=1, status=502),
        Fault(kind="drop", path="*/invoices", after=1),
    ]
    async with sandbox(faults=faults) as server, session(server) as zoho:
        await export(zoho, tmp_path)
        assert_whole(server, tmp_path)


async def test_the_daily_quota_ends_the_run_and_the_next_day_continues(tmp_path: Path) -> None:
    async with sandbox(per_day=6) as server:
        async with session(server) as zoho:
            job = Export(zoho, ORDERED, to=tmp_path)
            with pytest.raises(DailyQuotaExceeded):
                async with job:
                    await job.wait()
            assert not job.summary.done
        server.limits.per_day = 10_000
        async with session(server) as zoho:
            await export(zoho, tmp_path, ORDERED)
        assert server.refused <= 1  # the call that learned of it
        for resource in ORDERED:
            assert lines(tmp_path, resource) == server.truth(resource)


async def test_a_full_disk_ends_the_run_and_the_next_one_continues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = AppendedFile.append
    room = 3

    def until_full(self: AppendedFile, data: bytes) -> int:
        nonlocal room
        room -= 1
        if room < 0:
            append(self, b"half a page\n")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return append(self, data)

    async with sandbox() as server, session(server) as zoho:
        with monkeypatch.context() as disk:
            disk.setattr(AppendedFile, "append", until_full)
            with pytest.raises(DestinationError, match="No space left on device"):
                await export(zoho, tmp_path)
        await export(zoho, tmp_path)
        assert_whole(server, tmp_path)


async def test_an_export_is_entered_once(tmp_path: Path) -> None:
    async with sandbox() as server, session(server) as zoho:
        job = Export(zoho, ["items"], to=tmp_path)
        async with job:
            with pytest.raises(RuntimeError, match="not ended"):
                _ = job.summary
            await job.wait()
        with pytest.raises(RuntimeError, match="entered only once"):
            await job.__aenter__()
        with pytest.raises(RuntimeError, match="async with"):
            await Export(zoho, ["items"], to=tmp_path).wait()


async def test_two_runs_into_one_directory_do_not_mix(tmp_path: Path) -> None:
    async with (
        sandbox() as server,
        session(server) as zoho,
        Export(zoho, ["items"], to=tmp_path) as job,
    ):
        with pytest.raises(ExportRunning):
            await export(zoho, tmp_path, ["contacts"])
        await job.wait()
        assert lines(tmp_path, "books.items")


async def test_another_organization_is_refused_and_loses_nothing(tmp_path: Path) -> None:
    async with sandbox(organizations=["20345678"]) as server, session(server) as zoho:
        await export(zoho, tmp_path, ["items"])
        before = lines(tmp_path, "books.items")
        with pytest.raises(CheckpointRefused, match="another place"):
            await export(zoho.for_organization("20345678"), tmp_path, ["items"], restart=True)
        assert lines(tmp_path, "books.items") == before


async def test_two_organizations_export_side_by_side(tmp_path: Path) -> None:
    async with sandbox(organizations=["20345678"]) as server, session(server) as zoho:
        await asyncio.gather(
            export(zoho, tmp_path / "one", ["invoices"]),
            export(zoho.for_organization("20345678"), tmp_path / "two", ["invoices"]),
        )
        assert lines(tmp_path / "one", "books.invoices") == server.truth("books.invoices")
        assert lines(tmp_path / "two", "books.invoices") == server.truth(
            "books.invoices", "20345678"
        )


async def test_what_cannot_work_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    async with sandbox() as server, session(server) as zoho:
        with pytest.raises(UnknownResource, match="did you mean invoices"):
            Export(zoho, ["invoces"], to=tmp_path)
        with pytest.raises(ConfigurationError, match="no filter"):
            Export(zoho, ["items"], to=tmp_path, options=ExportOptions(filter={"colour": "red"}))
        with pytest.raises(DestinationError, match="choose another place"):
            await export(zoho, tmp_path / "file", ["items"])
        nobody = Session.from_env(server.environment() | {"ZOHO_ORGANIZATION_ID": ""})
        with pytest.raises(ConfigurationError, match="ZOHO_ORGANIZATION_ID"):
            Export(nobody, ["items"], to=tmp_path)
        assert server.calls == 0


async def test_closing_the_session_ends_the_job_and_says_so(tmp_path: Path) -> None:
    async with sandbox(latency=0.05) as server, session(server) as zoho:
        async with Export(zoho, ["invoices"], to=tmp_path) as job:
            async for event in job:
                if isinstance(event, Planned):
                    break
            await zoho.aclose()
            with pytest.raises(SessionClosed):
                await job.wait()
        async with session(server) as another:
            await export(another, tmp_path, ["invoices"])
        assert lines(tmp_path, "books.invoices") == server.truth("books.invoices")


async def test_filters_go_to_the_list_and_a_change_of_them_is_refused(tmp_path: Path) -> None:
    async with sandbox() as server, session(server) as zoho:
        paid = ExportOptions(filter={"status": "paid"})
        async with Export(zoho, ["invoices"], to=tmp_path, options=paid) as job:
            async for event in job:
                if isinstance(event, Progress):
                    break
        with pytest.raises(CheckpointRefused, match="other filters"):
            await export(zoho, tmp_path, ["invoices"])
        async with Export(zoho, ["invoices"], to=tmp_path, options=paid) as job:
            await job.wait()
        wanted = [
            row for row in server.truth("books.invoices") if json.loads(row)["status"] == "paid"
        ]
        assert len(wanted) > 200
        assert lines(tmp_path, "books.invoices") == wanted
