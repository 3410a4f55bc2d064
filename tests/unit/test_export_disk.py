"""Rows that an export wrote are there after any kind of end, and no others are."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.support.export_run import PLACE, WHEN, Run, rows, text
from zoho_async.export.checkpoint import observed
from zoho_async.export.checkpoint.store import Checkpoint, ResourceState, ViewResult
from zoho_async.export.destinations.base import Origin
from zoho_async.export.destinations.directory import FOLDER, Directory, line
from zoho_async.export.errors import CheckpointRefused, DestinationError, ExportRunning
from zoho_async.export.part_end import complete_part
from zoho_async.export.resource_store import RunOptions
from zoho_async.files import AppendedFile

PROVEN = ViewResult(completeness="proven", believed=True)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    one = Run(tmp_path)
    yield one
    one.close()


def again(run: Run, name: str = "run") -> Run:
    """The next process: the old one's hold on the directory ended."""
    run.close()
    return Run(run.path, name)


def test_a_row_keeps_its_bytes_and_becomes_one_line() -> None:
    assert line(b'{"a": 1.50,\r\n "b":"x\\ny"}') == b'{"a": 1.50,   "b":"x\\ny"}\n'


def test_an_uncommitted_tail_is_cut_off(run: Run) -> None:
    run.write_pages(run.writer(), 1, *rows(10, 11))
    with run.part.open("ab") as file:
        file.write(b'{"invoice_id":"12"}\n{"invoi')
    following = again(run)
    resumed = following.writer()
    assert resumed.state.part.page == 1
    assert run.part.read_bytes() == text(10, 11)
    resumed.store.close()
    following.close()


def test_a_file_that_lost_committed_rows_is_read_again(run: Run) -> None:
    writer = run.writer()
    run.write_pages(writer, 1, *rows(10, 11))
    writer.store.close()
    run.part.write_bytes(b"{}")
    resumed = run.writer()
    assert (resumed.state.part.page, resumed.state.part.rows) == (0, 0)
    assert run.write_pages(resumed, 1, *rows(10, 11)) == 2
    resumed.store.close()


def test_a_row_that_comes_again_is_not_written_again(run: Run) -> None:
    writer = run.writer()
    assert run.write_pages(writer, 1, *rows(10, 11, 10)) == 2
    assert run.write_pages(writer, 2, *rows(11, 12)) == 1
    following = again(run)
    resumed = following.writer()
    assert following.write_pages(resumed, 2, *rows(11, 12, 9)) == 1
    complete_part(resumed.store, WHEN)
    assert run.file.read_bytes() == text(10, 11, 12, 9)
    following.close()


def test_pages_above_everything_known_are_not_looked_up(run: Run) -> None:
    writer = run.writer()
    for page in range(1, 20):
        run.write_pages(writer, page, *rows(*range(page * 200, page * 200 + 200)))
    assert writer.store.records.lookups == 0
    run.write_pages(writer, 20, *rows(205, 10**17))
    assert writer.store.records.lookups == 1
    following = again(run)
    resumed = following.writer()
    following.write_pages(resumed, 21, *rows(10**17 + 1, 10**18))
    assert resumed.store.records.lookups == 0
    following.close()


def test_rows_without_an_id_are_identified_by_their_bytes(run: Run) -> None:
    writer = run.writer()
    assert run.write_pages(writer, 1, [b'{"a":1}', b'{"a":2}'], ["", ""]) == 2
    assert run.write_pages(writer, 2, [b'{"a":2}', b'{"a":3}'], ["", ""]) == 1
    writer.store.close()


def test_ids_that_are_not_numbers_or_too_large_are_identified(run: Run) -> None:
    ids = ["-1", "007", "7", "9223372036854775808", "9999999999999999999", "abc"]
    data = [b"{}"] * len(ids)
    writer = run.writer()
    assert run.write_pages(writer, 1, data, ids) == len(ids)
    assert run.write_pages(writer, 2, data, ids) == 0
    writer.store.close()


def test_a_list_whose_rows_have_no_ids_keeps_equal_rows_and_starts_again(run: Run) -> None:
    writer = run.writer(identified=False)
    assert run.write_pages(writer, 1, [b"{}", b"{}"], ["", ""]) == 2
    writer.store.close()
    resumed = run.writer(identified=False)
    assert resumed.state.part.rows == 0
    resumed.store.close()


def test_the_finished_file_stays_until_the_new_one_is_complete(run: Run) -> None:
    first = run.writer()
    run.write_pages(first, 1, *rows(10))
    complete_part(first.store, WHEN)
    run.state.finish(["books.invoices"])
    second = run.writer(asked=RunOptions(full=True))
    run.write_pages(second, 1, *rows(20))
    assert run.file.read_bytes() == text(10)
    second.end_view(PROVEN)
    complete_part(second.store, WHEN)
    assert run.file.read_bytes() == text(20)
    assert not run.part.exists()


def test_a_full_read_replaces_earlier_changes(run: Run) -> None:
    first = run.writer()
    run.write_pages(first, 1, *rows(10))
    complete_part(first.store, WHEN)
    following = again(run, "second")
    second = following.writer()
    following.write_pages(second, 1, *rows(11))
    complete_part(second.store, WHEN)
    assert [path.read_bytes() for path in run.changes] == [text(11)]
    third = again(following, "third")
    full = third.writer(asked=RunOptions(full=True))
    third.write_pages(full, 1, *rows(10, 11))
    complete_part(full.store, WHEN)
    assert run.file.read_bytes() == text(10, 11)
    assert run.changes == []
    third.close()


def test_a_run_that_finds_nothing_leaves_no_file(run: Run) -> None:
    first = run.writer()
    run.write_pages(first, 1, *rows(10))
    complete_part(first.store, WHEN)
    following = again(run, "second")
    second = following.writer()
    following.write_pages(second, 1, *rows(10))
    complete_part(second.store, WHEN)
    assert run.changes == []
    assert run.file.read_bytes() == text(10)
    following.close()


def test_an_end_before_the_file_is_renamed_is_repaired(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = run.writer()
    run.write_pages(writer, 1, *rows(10))
    with monkeypatch.context() as end:
        end.setattr(type(writer.store.sink), "settle", lambda _: None)  # and here the process ends
        complete_part(writer.store, WHEN)
    assert not run.file.exists()
    following = again(run, "another run")
    assert run.file.read_bytes() == text(10)
    following.close()


def test_an_end_before_old_changes_are_removed_is_repaired(run: Run) -> None:
    first = run.writer()
    run.write_pages(first, 1, *rows(10))
    complete_part(first.store, WHEN)
    following = again(run, "second")
    second = following.writer(asked=RunOptions(full=True))
    following.write_pages(second, 1, *rows(20))
    second.end_view(PROVEN)
    complete_part(second.store, WHEN)
    run.file.rename(run.part)  # as it was right before the name was given
    run.file.write_bytes(text(10))
    shutil.rmtree(run.path / "books/invoices.changes", ignore_errors=True)
    third = again(following, "third")
    assert run.file.read_bytes() == text(20)
    third.close()


def test_a_completed_resource_is_done_in_that_run_only(run: Run) -> None:
    writer = run.writer()
    run.write_pages(writer, 1, *rows(10))
    complete_part(writer.store, WHEN)
    same = again(run)
    assert same.writer().state.status == "complete"
    other = again(same, "another run")
    state = other.writer().state
    assert (state.status, state.part.rows, state.part.mode) == ("reading", 0, "compared")
    other.close()


def test_any_run_continues_an_unfinished_resource(run: Run) -> None:
    writer = run.writer()
    run.write_pages(writer, 1, *rows(10))
    writer.store.close()
    other = again(run, "another run")
    resumed = other.writer()
    assert resumed.state.part.rows == 1
    resumed.store.close()
    other.close()


def test_discarded_changes_are_read_again_in_full(run: Run) -> None:
    first = run.writer()
    run.write_pages(first, 1, *rows(10))
    complete_part(first.store, WHEN)
    following = again(run, "second")
    second = following.writer()
    following.write_pages(second, 1, *rows(11))
    second.store.close()
    fresh = following.writer(asked=RunOptions(restart=True))
    assert fresh.state.part.mode == "full"
    assert following.write_pages(fresh, 1, *rows(10, 11)) == 2
    complete_part(fresh.store, WHEN)
    assert run.file.read_bytes() == text(10, 11)
    following.close()


def test_fresh_gives_up_what_an_interrupted_run_left(run: Run) -> None:
    writer = run.writer()
    run.write_pages(writer, 1, *rows(10))
    writer.store.close()
    anew = run.writer("other filters", asked=RunOptions(restart=True))
    assert anew.state.part.rows == 0
    anew.store.close()


def test_detecting_deletions_after_an_interrupted_run_begins_a_new_part(run: Run) -> None:
    first = run.writer()
    run.write_pages(first, 1, *rows(10, 11))
    complete_part(first.store, WHEN)
    following = again(run, "second")
    second = following.writer()
    following.write_pages(second, 1, *rows(10, 11, 12))
    complete_part(second.store, WHEN)  # and here the run is interrupted, before other lists are
    same = again(following, "second")
    assert same.writer().state.status == "complete"
    sweep = same.writer(asked=RunOptions(detect_deletions=True))
    assert (sweep.state.status, sweep.state.part.mode) == ("reading", "compared")
    same.write_pages(sweep, 1, *rows(10, 11, 12, 13))
    sweep.end_view(PROVEN)
    complete_part(sweep.store, WHEN)
    assert [path.read_bytes() for path in run.changes] == [text(12), text(13)]
    assert same.writer(asked=RunOptions(detect_deletions=True)).state.status == "complete"
    assert same.writer(asked=RunOptions(full=True)).state.part.mode == "full"
    same.close()


def test_other_filters_are_refused(run: Run) -> None:
    writer = run.writer()
    run.write_pages(writer, 1, *rows(10))
    with pytest.raises(CheckpointRefused, match=r"unfinished.*other filters.*--restart"):
        run.writer("overdue ones")
    complete_part(writer.store, WHEN)
    following = again(run, "another run")
    with pytest.raises(CheckpointRefused, match=r"other filters.*--restart"):
        following.writer("overdue ones")
    following.close()


def test_a_failed_transaction_writes_nothing(run: Run) -> None:
    writer = run.writer()
    run.write_pages(writer, 1, *rows(10))
    run.database.execute(
        "CREATE TRIGGER full BEFORE UPDATE ON _zoho_resource"
        " BEGIN SELECT RAISE(ABORT, 'disk full'); END"
    )
    with pytest.raises(DestinationError, match="disk full"):
        run.write_pages(writer, 2, *rows(11))
    run.database.execute("DROP TRIGGER full")
    writer.store.close()
    resumed = run.writer()
    assert run.write_pages(resumed, 2, *rows(11, 12)) == 2
    assert resumed.state.part.rows == 3
    assert run.part.read_bytes() == text(10, 11, 12)
    resumed.store.close()


def test_deleted_records_become_rows_that_say_so(run: Run) -> None:
    first = run.writer()
    run.write_pages(first, 1, *rows(10, 11, 12))
    complete_part(first.store, WHEN)
    following = again(run, "second")
    second = following.writer(asked=RunOptions(detect_deletions=True))
    following.write_pages(second, 1, *rows(11))
    assert second.store.find_unseen() == ["10", "12"]
    second.mark_checked("10", ["10"], WHEN)
    assert second.store.find_unseen() == ["12"]
    second.mark_checked("12", [], WHEN)
    assert second.store.find_unseen() == []
    complete_part(second.store, WHEN)
    (path,) = run.changes
    assert path.read_bytes() == b'{"invoice_id":"10","_deleted_time":"%s"}\n' % WHEN.encode()
    third = again(following, "third")
    assert third.writer(asked=RunOptions(detect_deletions=True)).store.find_unseen() == ["11", "12"]
    third.close()


@pytest.mark.parametrize("place", [Origin("20345678", PLACE.host), Origin("10234695", "elsewhere")])
def test_a_checkpoint_of_another_place_is_refused(run: Run, place: Origin) -> None:
    with pytest.raises(CheckpointRefused, match=r"organization 10234695.*another place"):
        Checkpoint.open(run.database, place, name="here", restart=True)


def test_a_checkpoint_of_another_version_is_refused_unless_fresh(run: Run) -> None:
    run.writer().store.close()
    run.database.execute("UPDATE _zoho_place SET form = 99")
    with pytest.raises(CheckpointRefused, match=r"another version.*--restart"):
        Checkpoint.open(run.database, PLACE, name="here")
    anew = Checkpoint.open(run.database, PLACE, name="here", restart=True)
    assert anew.states() == []


def test_a_checkpoint_with_flat_states_is_refused_and_restart_replaces_its_tables(run: Run) -> None:
    run.writer().store.close()
    run.database.execute("ALTER TABLE _zoho_resource RENAME COLUMN state TO position")
    run.database.execute("UPDATE _zoho_place SET form = 5")
    told = r"layout 5, this version writes layout 7.*`zoho-async export books.invoices --restart`"
    with pytest.raises(CheckpointRefused, match=told):
        Checkpoint.open(run.database, PLACE, name="here")
    run.database.execute("UPDATE _zoho_resource SET name = 'books.reports.profit_and_loss'")
    with pytest.raises(CheckpointRefused, match="remove it and write its reports again"):
        Checkpoint.open(run.database, PLACE, name="here")
    again = Checkpoint.open(run.database, PLACE, name="here", restart=True)
    begun = again.begin(ResourceState(name="books.invoices", status="reading"))
    assert again.state_of("books.invoices") == begun


def test_a_stored_state_is_json_with_one_object_per_subject(run: Run) -> None:
    writer = run.writer()
    run.write_pages(writer, 1, *rows(10))
    ((text,),) = run.database.execute("SELECT state FROM _zoho_resource")
    stored = msgspec.json.decode(text)
    assert stored["status"] == "reading"
    assert stored["bookmark"] == {"request": "all", "largest": "10"}
    assert stored["part"]["rows"] == 1
    assert stored["passes"]["current"] == 1
    writer.store.close()


@pytest.mark.parametrize("table", ["_zoho_resource SET state", "_zoho_observed SET fields"])
@pytest.mark.parametrize("damaged", ["", '{"name":1}', "[{}]", "null"])
def test_a_damaged_state_is_refused(run: Run, table: str, damaged: str) -> None:
    state = run.writer().state
    with run.database.transaction():
        observed.save(run.database, state.number, ())
        run.database.execute(f"UPDATE {table} = ?", (damaged,))
    with pytest.raises(CheckpointRefused, match="damaged"):
        (run.state.states(), observed.load(run.database, state.number))


def test_a_checkpoint_file_of_another_version_is_refused(run: Run) -> None:
    run.database.execute("PRAGMA user_version = 99")
    run.close()
    with pytest.raises(CheckpointRefused, match=r"another version.*delete"):
        Directory(run.path).open()


def test_a_checkpoint_that_is_not_a_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / "checkpoint.sqlite").write_bytes(b"not a database at all" * 100)
    with pytest.raises(CheckpointRefused, match="cannot be read"):
        Directory(tmp_path).open()


OTHER = (
    "import sys, pathlib\n"
    "from zoho_async.export.destinations.directory import Directory\n"
    "from zoho_async.export.errors import ExportRunning\n"
)


def test_a_second_run_into_the_same_directory_says_so(run: Run) -> None:
    with pytest.raises(ExportRunning, match="another export is running"):
        Directory(run.path).open()
    program = "try: Directory(sys.argv[1]).open()\nexcept ExportRunning: print('refused')"
    other = subprocess.run(
        [sys.executable, "-c", OTHER + program, str(run.path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert other.stdout == "refused\n"


def test_a_directory_that_cannot_be_created_is_reported_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DestinationError, match=r"cannot write to .*file.*choose another place"):
        Directory(tmp_path / "file").open()


def test_the_lock_ends_with_the_process_that_held_it(tmp_path: Path) -> None:
    program = "held = Directory(sys.argv[1]).open()\nprint('held', flush=True); sys.stdin.read()"
    holder = subprocess.Popen(
        [sys.executable, "-c", OTHER + program, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(ExportRunning):
            Directory(tmp_path).open()
        holder.kill()
    Directory(tmp_path).open().close()


def test_the_state_file_closes_what_it_opened_when_it_refuses(run: Run) -> None:
    run.database.execute("PRAGMA user_version = 99")
    run.close()
    with pytest.raises(CheckpointRefused):
        Directory(run.path).open()
    free = sqlite3.connect(run.path / FOLDER / "checkpoint.sqlite", timeout=0)
    free.execute("BEGIN EXCLUSIVE")
    free.close()


def test_two_files_of_one_job_do_not_touch_each_other(tmp_path: Path) -> None:
    one, two = AppendedFile(tmp_path / "a.jsonl"), AppendedFile(tmp_path / "b.jsonl")
    one.reopen(0)
    two.reopen(0)
    one.append(b"1\n")
    two.append(b"2\n")
    one.close()
    two.close()
    assert (one.path.read_bytes(), two.path.read_bytes()) == (b"1\n", b"2\n")
