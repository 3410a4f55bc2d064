"""Files in an object store: what is committed is there, on every machine, after any failure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.export_run import WHEN, Run
from tests.support.object_store import BUCKET, S3Server, forget_clients
from zoho_async.export import Directory, merge, open_destination
from zoho_async.export.destinations.formats import Gzip
from zoho_async.export.destinations.remote import Remote, manifest
from zoho_async.export.destinations.remote import store as remote_store
from zoho_async.export.errors import (
    CheckpointRefused,
    DestinationChanged,
    DestinationError,
    ExportError,
    ExportRunning,
)
from zoho_async.export.part_end import complete_part

TO = f"s3://{BUCKET}/zoho/books"


@pytest.fixture(scope="module")
def running() -> Iterator[S3Server]:
    with S3Server() as server:
        yield server


@pytest.fixture
def server(running: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    for name, value in running.environment().items():
        monkeypatch.setenv(name, value)
    running.empty()
    return running


def row(identity: int, version: int) -> bytes:
    return b'{"invoice_id":"%d","version":%d}' % (identity, version)


def export(run: Run, versions: dict[int, int], *, until_end: bool = True) -> None:
    """One run that finds the records in these versions."""
    try:
        writer = run.writer()
        rows = [row(identity, version) for identity, version in versions.items()]
        run.write_pages(writer, 1, rows, [str(identity) for identity in versions])
        if until_end:
            complete_part(writer.store, WHEN)
            run.state.finish(["books.invoices"])
    finally:
        run.close()


def remote(machine: Path) -> Remote:
    return Remote(TO, work=machine)


def started(machine: Path, run: str) -> Run:
    return Run(machine, run, stamp=f"2026112{'_abcdef'.index(run)}T020000Z", to=remote(machine))


#: What each run finds, by its name.
RUNS = {"a": {1: 1, 2: 1, 3: 1}, "b": {2: 2, 4: 1}, "c": {2: 3, 5: 1}}
MERGED = [{"invoice_id": str(one), "version": 3 if one == 2 else 1} for one in range(1, 6)]


def in_directory(folder: Path) -> dict[str, bytes]:
    """What the same runs leave in a directory."""
    for name, versions in RUNS.items():
        stamp = f"2026112{'_abcdef'.index(name)}T020000Z"
        local = Run(folder, name, stamp=stamp)
        writer = local.writer()
        rows = [row(identity, version) for identity, version in versions.items()]
        local.write_pages(writer, 1, rows, [str(identity) for identity in versions])
        complete_part(writer.store, WHEN)
        local.state.finish(["books.invoices"])
        local.close()
    return files_in(folder)


def files_in(folder: Path) -> dict[str, bytes]:
    found = [path for path in (folder / "books").rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


@pytest.mark.parametrize("new", [True, False], ids=["new machines", "one machine"])
def test_runs_leave_the_files_of_a_directory(server: S3Server, tmp_path: Path, new: bool) -> None:
    for name, versions in RUNS.items():
        export(started(tmp_path / (name if new else "one"), name), versions)
    local = in_directory(tmp_path / "local")
    assert len(local) == 3
    assert server.files("zoho/books/") == local

    (merged,) = merge(remote(tmp_path / ("merge" if new else "one")))
    assert (merged.file, merged.rows) == (f"{TO}/books/invoices.jsonl", 5)
    merge(Directory(tmp_path / "local"))
    assert server.files("zoho/books/") == files_in(tmp_path / "local")
    assert [json.loads(one) for one in server.files().popitem()[1].split()] == MERGED
    kept = sorted(name.split("/")[3] for name in server.objects() if ".zoho-export" in name)
    assert kept == ["checkpoint", "manifest"]  # nothing else is left behind


#: Some requests in a plain run, each in a long one.
STEPS = [
    (False, 10),
    pytest.param(False, 2, marks=pytest.mark.long),
    pytest.param(True, 3, marks=pytest.mark.long),
]


def refuses_after(server: S3Server, number: int) -> None:
    """From its n-th write on, the store refuses everything, as if the run had been killed there."""
    server.writes.clear()
    server.denies = lambda request: len(server.writes) >= number


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("same", "step"), STEPS)
def test_a_store_that_fails_at_any_request_loses_and_doubles_nothing(
    server: S3Server, tmp_path: Path, same: bool, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifest, "LEASE", 0.0)
    local = in_directory(tmp_path / "local")
    number, failed = 0, True
    while failed:
        number += step
        server.empty()
        export(started(tmp_path / f"{number}a", "a"), RUNS["a"])
        machine, failed = tmp_path / f"{number}b", False
        refuses_after(server, number)
        try:
            export(started(machine, "b"), RUNS["b"])
        except ExportError:
            failed = True
        server.denies = None
        assert server.files("zoho/books/")["books/invoices.jsonl"] == local["books/invoices.jsonl"]
        export(started(machine if same else tmp_path / f"{number}b2", "b"), RUNS["b"])
        export(started(tmp_path / f"{number}c", "c"), RUNS["c"])
        assert server.files("zoho/books/") == local, server.writes
    assert number > 8


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("same", "step"), STEPS)
def test_a_merge_that_fails_at_any_request_is_merged_again(
    server: S3Server, tmp_path: Path, same: bool, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifest, "LEASE", 0.0)
    number, failed = 0, True
    while failed:
        number += step
        server.empty()
        for name in RUNS:
            export(started(tmp_path / f"{number}", name), RUNS[name])
        failed = False
        refuses_after(server, number)
        try:
            merge(remote(tmp_path / f"{number}"))
        except ExportError:
            failed = True
        server.denies = None
        merge(remote(tmp_path / (f"{number}" if same else f"{number}m")))
        ((name, content),) = server.files("zoho/books/").items()
        assert (name, [json.loads(one) for one in content.split()]) == (
            "books/invoices.jsonl",
            MERGED,
        )
        export(started(tmp_path / f"{number}d", "d"), {6: 1})
        assert len(server.files()) == 2
    assert number > 8


def test_a_half_read_list_continues_on_its_machine_and_begins_again_on_another(
    server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(started(tmp_path / "one", "a"), RUNS["a"], until_end=False)
    assert server.files() == {}
    run = started(tmp_path / "one", "a")
    assert run.writer().state.part.page == 1
    run.close()
    run = started(tmp_path / "two", "a")
    assert run.writer().state.part.page == 0
    run.close()
    run = started(tmp_path / "one", "a")  # another machine was there in between
    assert run.writer().state.part.page == 0
    run.close()


def test_a_second_run_is_refused_until_the_first_ends(server: S3Server, tmp_path: Path) -> None:
    first = started(tmp_path / "one", "a")
    for machine in ("one", "two"):
        with pytest.raises(ExportRunning, match=TO):
            started(tmp_path / machine, "a")
    export(first, RUNS["a"])
    started(tmp_path / "two", "b").close()


def test_a_run_that_was_killed_continues_at_once_on_its_machine(
    server: S3Server, tmp_path: Path
) -> None:
    killed = started(tmp_path / "one", "a")
    killed.database.close()  # type: ignore[attr-defined] # the lock of a process that is gone
    with pytest.raises(ExportRunning, match=r"last sign of life \d+ s ago"):
        started(tmp_path / "two", "a")
    export(started(tmp_path / "one", "a"), RUNS["a"])
    killed.place._heartbeat.stop()  # type: ignore[attr-defined]


def test_a_run_that_was_taken_over_commits_nothing(
    server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It paused for longer than the lease, and other runs wrote and removed manifests."""
    monkeypatch.setattr(manifest, "LEASE", 0.0)
    paused = started(tmp_path / "one", "a")
    export(started(tmp_path / "two", "a"), {1: 9})
    export(started(tmp_path / "two", "b"), {2: 9})
    there = server.objects()
    with pytest.raises(ExportRunning):
        export(paused, RUNS["a"])
    assert server.files("zoho/books/") == {
        "books/invoices.jsonl": row(1, 9) + b"\n",
        "books/invoices.changes/20261122T020000Z.jsonl": row(2, 9) + b"\n",
    }
    now = server.objects()
    added = [name for name in now if name not in there]
    assert all("/staged/" in name or "/checkpoint/" in name for name in added)
    export(started(tmp_path / "two", "c"), {3: 9})
    assert not [name for name in server.objects() if "/staged/" in name]


def test_a_manifest_whose_reply_was_lost_counts(
    server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = remote_store.ObjectStore.create

    def created_unheard(self: remote_store.ObjectStore, path: str, content: bytes) -> None:
        create(self, path, content)
        raise DestinationError(self.name, "the connection broke")

    monkeypatch.setattr(remote_store.ObjectStore, "create", created_unheard)
    export(started(tmp_path / "one", "a"), RUNS["a"])
    assert len(server.files()) == 1


def test_what_a_person_changed_is_refused_and_what_is_missing_is_read_again(
    server: S3Server, tmp_path: Path
) -> None:
    export(started(tmp_path / "one", "a"), RUNS["a"])
    server.put("zoho/books/books/invoices.jsonl", b"{}\n")
    run = started(tmp_path / "two", "b")
    with pytest.raises(DestinationChanged, match=f"{TO}/books/invoices.jsonl was changed by hand"):
        run.writer()
    run.close()
    server.remove("zoho/books/books/invoices.jsonl")
    run = started(tmp_path / "two", "b")
    assert run.writer().store.missing == f"{TO}/books/invoices.jsonl is missing"
    run.close()


def test_files_keep_their_format(server: S3Server, tmp_path: Path) -> None:
    def packed(path: Path) -> Directory:
        return Directory(path, Gzip())

    export(Run(tmp_path, to=Remote(TO, packed, work=tmp_path / "one")), RUNS["a"])
    assert list(server.files("zoho/books/")) == ["books/invoices.jsonl.gz"]
    with pytest.raises(CheckpointRefused, match=f"{TO} holds files of --format jsonl.gz"):
        remote(tmp_path / "two").open()


@pytest.mark.parametrize(
    ("denied", "cause", "advice"),
    [
        ("GET", "the store refuses access", "allow to list, read, write and delete"),
        ("PUT", "the store refuses access", "allow to list, read, write and delete"),
        ("DELETE", "the store refuses access", "allow to list, read, write and delete"),
    ],
)
def test_missing_permissions_end_the_run_before_it_reads_anything(
    server: S3Server, tmp_path: Path, denied: str, cause: str, advice: str
) -> None:
    server.denies = lambda request: request.startswith(denied)
    with pytest.raises(DestinationError) as refused:
        remote(tmp_path).open()
    assert cause in str(refused.value)
    assert advice in str(refused.value)
    assert "manifest" not in "".join(server.objects())


def test_a_bucket_that_does_not_exist_is_named(server: S3Server, tmp_path: Path) -> None:
    with pytest.raises(DestinationError, match="s3://none/books: the bucket does not exist"):
        Remote("s3://none/books", work=tmp_path).open()


def test_missing_credentials_are_named(
    server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("HOME", str(tmp_path))
    forget_clients()
    with pytest.raises(DestinationError, match="no credentials were found"):
        remote(tmp_path).open()


@pytest.mark.parametrize(
    "address",
    [
        "s3://AKIA:s3cret@lake/books",
        "s3://s3cret@lake/books",
        "s3://lake:s3cret/books",
        "abfs://lake:s3cret@account.dfs.core.windows.net/books",
        "az://lake/books?sv=1&sig=s3cret",
        "gs://lake/books#s3cret",
        "s3://lake/s3cret/../books",
        "s3://lake//s3cret",
        "s3://lake/s3cret\x1b[2J",
        "s3:///s3cret",
        "s3://lake/s3cret.parquet",
    ],
)
def test_an_address_that_may_hold_a_secret_is_refused_and_not_repeated(address: str) -> None:
    with pytest.raises(ExportError) as refused:
        open_destination(address)
    assert "s3cret" not in str(refused.value)
