"""Exports of lists that leave records out, against a server that says and counts what it likes.

For every list server that the strategies make: what is ``proven`` holds every record that exists,
an export drops none that exists, no value goes together with a moment, and a value that was refused
is not sent by a later run.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.judges.list_exports import ServerClock, run, session
from tests.judges.list_server import (
    ACCOUNTS,
    BANK,
    INVOICES,
    STATUSES,
    ListServer,
    Manners,
    Resource,
    records,
)
from zoho_async.errors import UnconfirmedFilter
from zoho_async.export import Directory, Export, ExportOptions, RecordsLeftOut, Summary, merge
from zoho_async.export.capabilities import probe
from zoho_async.export.catalog import exportable

NAMES = {
    ACCOUNTS: "books.chart_of_accounts",
    BANK: "books.bank_transactions",
    INVOICES: "books.invoices",
}
#: The value that the table has for each list, and the filter that its default is called.
VALUES = {
    ACCOUNTS: ("AccountType.All", "AccountType.Active"),
    BANK: ("Status.Uncategorized", "Status.All"),
    INVOICES: ("Type.DebitNote", "Status.All"),
}


def leaving_out(resource: Resource, **changes: Any) -> Manners:
    """A list that leaves out its records in status ``void``, as Zoho would."""
    value, applied = VALUES[resource]
    shown = STATUSES if value.endswith(".All") else ("void",)
    return Manners(**{"hides": ("void",), "applied": applied, "views": ((value, shown),)} | changes)


async def export(server: ListServer, to: Path, **options: Any) -> tuple[Summary, list[object]]:
    events: list[object] = []
    async with session(server) as zoho:
        job = Export(
            zoho,
            [NAMES[server.resource]],
            to=to,
            clock=ServerClock(server),
            options=ExportOptions(**options),
        )
        async with job:
            events += [event async for event in job]
    return job.summary, events


def held(to: Path, resource: Resource) -> set[str]:
    merge(Directory(to))
    path = to / f"{NAMES[resource].replace('.', '/')}.jsonl"
    return {json.loads(line)[resource.row_id] for line in path.read_bytes().splitlines()}


@pytest.mark.parametrize("resource", [ACCOUNTS, BANK, INVOICES], ids=lambda one: one.key)
def test_a_full_read_has_what_the_default_leaves_out(resource: Resource, tmp_path: Path) -> None:
    manners = leaving_out(resource, largest_page=5)
    with ListServer(records(23, moments=23), manners, resource=resource) as server:
        summary, _ = asyncio_run(export(server, tmp_path))
        assert held(tmp_path, resource) == server.alive()
        assert summary.resources[0].completeness == "proven"
        assert summary.calls == len(server.arrived)
        value = VALUES[resource][0]
        counts = [one for one in server.arrived if one.get("response_option") == "2"]
        assert [one.get("filter_by") for one in counts] == (
            [None, value] if resource is ACCOUNTS else [value]
        )


def asyncio_run(work: Any) -> Any:
    found: list[Any] = []

    async def keep() -> None:
        found.append(await work)

    run(keep())
    return found[0]


@pytest.mark.parametrize("resource", [ACCOUNTS, BANK, INVOICES], ids=lambda one: one.key)
def test_a_refused_value_is_sent_once(resource: Resource, tmp_path: Path) -> None:
    value, _ = VALUES[resource]
    manners = leaving_out(resource, refuses=(value,))
    with ListServer(records(9, moments=9), manners, resource=resource) as server:
        for _ in range(3):
            asyncio_run(export(server, tmp_path, full=True))
        assert sum(one.get("filter_by") == value for one in server.arrived) == 1


def test_a_list_that_names_another_filter_is_not_proven(tmp_path: Path) -> None:
    """A list that is in no table: what it says itself is noticed."""
    manners = Manners(hides=("void",), applied="Status.Active")
    with ListServer(records(9, moments=9), manners) as server:
        summary, events = asyncio_run(export(server, tmp_path))
        (one,) = summary.resources
        assert (one.completeness, one.applied_filter) == ("uncheckable", "Status.Active")
        assert [one for one in events if isinstance(one, RecordsLeftOut)]


def test_a_value_goes_together_with_a_moment_after_a_probe_alone(tmp_path: Path) -> None:
    manners = leaving_out(INVOICES)
    with ListServer(records(23, moments=23), manners) as server:
        asyncio_run(export(server, tmp_path))
        server.modify(server.insert())
        asyncio_run(export(server, tmp_path))
        assert not [one for one in server.arrived if len(both & one.keys()) == 2]


both = {"filter_by", "last_modified_time"}


@pytest.mark.parametrize(
    ("together", "found"),
    [("both", True), ("moment alone", False), ("value alone", False), ("refused", False)],
)
@pytest.mark.parametrize("resource", [ACCOUNTS, INVOICES], ids=lambda one: one.key)
def test_a_probe_finds_out_what_holds_together(
    resource: Resource, together: Any, found: bool
) -> None:
    manners = leaving_out(resource, together=together)

    async def probed(server: ListServer) -> bool | None:
        async with session(server) as zoho:
            facts = exportable()[NAMES[resource]]
            return (await probe(zoho, facts, ServerClock(server))).capabilities.combined

    with ListServer(records(23, moments=23), manners, resource=resource) as server:
        assert asyncio_run(probed(server)) is found


def test_an_ignored_filter_warns() -> None:
    async def read(server: ListServer) -> None:
        async with session(server) as zoho:
            with pytest.warns(UnconfirmedFilter, match="status"):
                assert [one async for one in zoho.books.invoices.list(status="paid")]

    with ListServer(records(9, moments=9), Manners(ignores_filters=True)) as server:
        run(read(server))


later = st.sampled_from(["as before", "refuses", "ignores", "silent"])


@settings(max_examples=20, deadline=None)
@given(
    resource=st.sampled_from([ACCOUNTS, BANK, INVOICES]),
    count=st.sampled_from([0, 1, 5, 12, 23]),
    moments=st.sampled_from([1, 5, 100]),
    seed=st.integers(0, 2**16),
    edits=st.sampled_from([0.0, 0.0, 0.3]),
    echoes=st.booleans(),
    option=st.sampled_from(["honored", "ignored", "refused"]),
    then=later,
    full=st.booleans(),
)
def test_no_record_is_lost_and_what_is_proven_is_all(
    resource: Resource,
    count: int,
    moments: int,
    seed: int,
    edits: float,
    echoes: bool,
    option: Any,
    then: str,
    full: bool,
) -> None:
    value = VALUES[resource][0]
    manners = leaving_out(
        resource, largest_page=5, edits=edits, echoes=echoes, option=option, ties="flipped"
    )
    changes: dict[str, dict[str, Any]] = {
        "as before": {},
        "refuses": {"refuses": (value,)},
        "ignores": {"ignores_filters": True},
        "silent": {"echoes": False},
    }
    truth = records(count, moments=moments)
    with (
        ListServer(truth, manners, seed, resource=resource) as server,
        tempfile.TemporaryDirectory() as folder,
    ):
        to, before = Path(folder), set[str]()
        for behavior in (manners, leaving_out(resource, largest_page=5, **changes[then])):
            server.manners, since, server.calls = behavior, server.mark, 0
            summary, _ = asyncio_run(export(server, to, full=full, detect_deletions=not full))
            (one,), now = summary.resources, held(to, resource)
            assert not (before - now) & server.alive(), "nothing that exists is dropped"
            if one.completeness == "proven" and option == "honored":
                assert server.is_complete(now, since), "what is proven is complete"
            assert not [one for one in server.arrived if len(both & one.keys()) == 2]
            before = now
