"""What an export has promised is there after any kind of end, and nothing stands beside it."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from zoho_async.description import OperationFacts
from zoho_async.export.checkpoint.file import StateFile
from zoho_async.export.checkpoint.store import State
from zoho_async.export.destinations.base import Origin
from zoho_async.export.destinations.directory import FOLDER, Directory, Format, JsonLines, line
from zoho_async.export.errors import CheckpointRefused, DestinationError, ExportRunning
from zoho_async.export.writer import ResourceWriter, RunOptions, Sheet, settle, writing

PLACE = Origin("10234695", "www.zohoapis.com")
LISTS = {
    name: OperationFacts(
        name=f"{name}.list",
        method="GET",
        path="/invoices",
        answer="list",
        row_id="invoice_id",
        order="created_time",
    )
    for name in ("books.invoices", "books.estimates")
}


class Run:
    """A directory that one run holds, as a job holds it."""

    def __init__(
        self,
        path: Path,
        run: str = "run",
        stamp: str = "20261123T020000Z",
        form: Format | None = None,
    ) -> None:
        self.path = path
        self.directory = Directory(path, form)
        with writing(str(path)):
            database = self.directory.open(PLACE)
        assert isinstance(database, StateFile)
        self.database = database
        self.state = State.open(database, PLACE, name=str(path))
        settle(self.state, self.directory, LISTS)
        self.state.enter(run, stamp)

    def landing(
        self, request: str = "all", *, identified: bool = True, asked: RunOptions | None = None
    ) -> ResourceWriter:
        facts = LISTS["books.invoices"]
        if not identified:
            facts = msgspec.structs.replace(facts, row_id="")
        landing = ResourceWriter(self.state, self.directory, facts, request, asked or RunOptions())
        landing.open()
        return landing

    def land(self, landing: ResourceWriter, page: int, rows: list[bytes], ids: list[str]) -> int:
        """Land a page; how many rows it brought."""
        before = landing.position.rows
        with writing(str(self.path)), self.state.database.transaction():
            landing.land([Sheet(number=page, rows=rows, ids=ids)])
        return landing.position.rows - before

    def close(self) -> None:
        self.directory.close()

    @property
    def file(self) -> Path:
        return self.path / "books/invoices.jsonl"

    @property
    def part(self) -> Path:
        return self.path / "books/invoices.jsonl.part"

    @property
    def changes(self) -> list[Path]:
        return sorted((self.path / "books/invoices.changes").glob("*"))


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    one = Run(tmp_path)
    yield one
    one.close()


def again(run: Run, name: str = "run") -> Run:
    """The next process: the old one's hold on the directory ended."""
    run.close()
    return Run(run.path, name)


WHEN = "2026-11-23T02:00:00+0000"


def rows(*ids: int) -> tuple[list[bytes], list[str]]:
    return [b'{"invoice_id":"%d"}' % one for one in ids], [str(one) for one in ids]


def text(*ids: int) -> bytes:
    return b"".join(map(line, rows(*ids)[0]))


def test_a_row_keeps_its_bytes_and_becomes_one_line() -> None:
    assert line(b'{"a": 1.50,\r\n "b":"x\\ny"}') == b'{"a": 1.50,   "b":"x\\ny"}\n'


def test_a_tail_that_was_never_promised_is_cut_off(run: Run) -> None:
    run.land(run.landing(), 1, *rows(10, 11))
    with run.part.open("ab") as file:
        file.write(b'{"invoice_id":"12"}\n{"invoi')
    following = again(run)
    resumed = following.landing()
    assert resumed.position.page == 1
    assert run.part.read_bytes() == text(10, 11)
    resumed.close()
    following.close()


def test_a_file_that_lost_promised_rows_is_read_anew(run: Run) -> None:
    landing = run.landing()
    run.land(landing, 1, *rows(10, 11))
    landing.close()
    run.part.write_bytes(b"{}")
    resumed = run.landing()
    assert (resumed.position.page, resumed.position.rows) == (0, 0)
    assert run.land(resumed, 1, *rows(10, 11)) == 2
    resumed.close()


def test_a_row_that_comes_again_is_not_written_again(run: Run) -> None:
    landing = run.landing()
    assert run.land(landing, 1, *rows(10, 11, 10)) == 2
    assert run.land(landing, 2, *rows(11, 12)) == 1
    following = again(run)
    resumed = following.landing()
    assert following.land(resumed, 2, *rows(11, 12, 9)) == 1
    resumed.complete(WHEN)
    assert run.file.read_bytes() == text(10, 11, 12, 9)
    following.close()


def test_pages_above_everything_known_are_not_looked_up(run: Run) -> None:
    landing = run.landing()
    for page in range(1, 20):
        run.land(landing, page, *rows(*range(page * 200, page * 200 + 200)))
    assert landing.known.look_ups == 0
    run.land(landing, 20, *rows(205, 10**17))
    assert landing.known.look_ups == 1
    following = again(run)
    resumed = following.landing()
    following.land(resumed, 21, *rows(10**17 + 1, 10**18))
    assert resumed.known.look_ups == 0
    following.close()


def test_rows_without_an_id_are_told_apart_by_their_bytes(run: Run) -> None:
    landing = run.landing()
    assert run.land(landing, 1, [b'{"a":1}', b'{"a":2}'], ["", ""]) == 2
    assert run.land(landing, 2, [b'{"a":2}', b'{"a":3}'], ["", ""]) == 1
    landing.close()


def test_ids_that_are_no_numbers_or_too_large_are_told_apart_too(run: Run) -> None:
    ids = ["-1", "007", "7", "9223372036854775808", "9999999999999999999", "abc"]
    data = [b"{}"] * len(ids)
    landing = run.landing()
    assert run.land(landing, 1, data, ids) == len(ids)
    assert run.land(landing, 2, data, ids) == 0
    landing.close()


def test_a_list_whose_rows_have_no_ids_keeps_equal_rows_and_begins_anew(run: Run) -> None:
    landing = run.landing(identified=False)
    assert run.land(landing, 1, [b"{}", b"{}"], ["", ""]) == 2
    landing.close()
    resumed = run.landing(identified=False)
    assert resumed.position.rows == 0
    resumed.close()


def test_the_finished_file_stays_until_the_new_one_is_complete(run: Run) -> None:
    first = run.landing()
    run.land(first, 1, *rows(10))
    first.complete(WHEN)
    run.state.finish(["books.invoices"])
    second = run.landing(asked=RunOptions(full=True))
    run.land(second, 1, *rows(20))
    assert run.file.read_bytes() == text(10)
    second.over("proven")
    second.complete(WHEN)
    assert run.file.read_bytes() == text(20)
    assert not run.part.exists()


def test_a_full_read_takes_the_place_of_the_changes_before_it(run: Run) -> None:
    first = run.landing()
    run.land(first, 1, *rows(10))
    first.complete(WHEN)
    following = again(run, "second")
    second = following.landing()
    following.land(second, 1, *rows(11))
    second.complete(WHEN)
    assert [path.read_bytes() for path in run.changes] == [text(11)]
    third = again(following, "third")
    full = third.landing(asked=RunOptions(full=True))
    third.land(full, 1, *rows(10, 11))
    full.complete(WHEN)
    assert run.file.read_bytes() == text(10, 11)
    assert run.changes == []
    third.close()


def test_a_run_that_finds_nothing_leaves_no_file(run: Run) -> None:
    first = run.landing()
    run.land(first, 1, *rows(10))
    first.complete(WHEN)
    following = again(run, "second")
    second = following.landing()
    following.land(second, 1, *rows(10))
    second.complete(WHEN)
    assert run.changes == []
    assert run.file.read_bytes() == text(10)
    following.close()


def test_an_end_between_the_last_promise_and_the_name_is_put_right(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    landing = run.landing()
    run.land(landing, 1, *rows(10))
    with monkeypatch.context() as end:
        end.setattr(type(landing.sink), "settle", lambda _: None)  # and here the process ends
        landing.complete(WHEN)
    assert not run.file.exists()
    following = again(run, "another run")
    assert run.file.read_bytes() == text(10)
    following.close()


def test_an_end_between_the_old_changes_and_the_new_file_is_put_right(run: Run) -> None:
    first = run.landing()
    run.land(first, 1, *rows(10))
    first.complete(WHEN)
    following = again(run, "second")
    second = following.landing(asked=RunOptions(full=True))
    following.land(second, 1, *rows(20))
    second.over("proven")
    second.complete(WHEN)
    run.file.rename(run.part)  # as it was right before the name was given
    run.file.write_bytes(text(10))
    shutil.rmtree(run.path / "books/invoices.changes", ignore_errors=True)
    third = again(following, "third")
    assert run.file.read_bytes() == text(20)
    third.close()


def test_what_a_run_completed_counts_as_done_in_that_run_only(run: Run) -> None:
    landing = run.landing()
    run.land(landing, 1, *rows(10))
    landing.complete(WHEN)
    same = again(run)
    assert same.landing().position.stand == "complete"
    other = again(same, "another run")
    position = other.landing().position
    assert (position.stand, position.rows, position.mode) == ("reading", 0, "compared")
    other.close()


def test_a_resource_in_the_middle_goes_on_whichever_run_asks(run: Run) -> None:
    landing = run.landing()
    run.land(landing, 1, *rows(10))
    landing.close()
    other = again(run, "another run")
    resumed = other.landing()
    assert resumed.position.rows == 1
    resumed.close()
    other.close()


def test_changes_that_are_given_up_are_read_again_in_full(run: Run) -> None:
    first = run.landing()
    run.land(first, 1, *rows(10))
    first.complete(WHEN)
    following = again(run, "second")
    second = following.landing()
    following.land(second, 1, *rows(11))
    second.close()
    fresh = following.landing(asked=RunOptions(restart=True))
    assert fresh.position.mode == "full"
    assert following.land(fresh, 1, *rows(10, 11)) == 2
    fresh.complete(WHEN)
    assert run.file.read_bytes() == text(10, 11)
    following.close()


def test_fresh_gives_up_what_an_interrupted_run_left(run: Run) -> None:
    landing = run.landing()
    run.land(landing, 1, *rows(10))
    landing.close()
    anew = run.landing("other filters", asked=RunOptions(restart=True))
    assert anew.position.rows == 0
    anew.close()


def test_a_sweep_after_an_interrupted_run_has_a_part_of_its_own(run: Run) -> None:
    first = run.landing()
    run.land(first, 1, *rows(10, 11))
    first.complete(WHEN)
    following = again(run, "second")
    second = following.landing()
    following.land(second, 1, *rows(10, 11, 12))
    second.complete(WHEN)  # and here the run is interrupted, before other lists are
    same = again(following, "second")
    assert same.landing().position.stand == "complete"
    sweep = same.landing(asked=RunOptions(detect_deletions=True))
    assert (sweep.position.stand, sweep.position.mode) == ("reading", "compared")
    same.land(sweep, 1, *rows(10, 11, 12, 13))
    sweep.over("proven")
    sweep.complete(WHEN)
    assert [path.read_bytes() for path in run.changes] == [text(12), text(13)]
    assert same.landing(asked=RunOptions(detect_deletions=True)).position.stand == "complete"
    assert same.landing(asked=RunOptions(full=True)).position.mode == "full"
    same.close()


def test_other_filters_are_refused(run: Run) -> None:
    landing = run.landing()
    run.land(landing, 1, *rows(10))
    with pytest.raises(CheckpointRefused, match=r"unfinished.*other filters.*--restart"):
        run.landing("overdue ones")
    landing.complete(WHEN)
    following = again(run, "another run")
    with pytest.raises(CheckpointRefused, match=r"other filters.*--restart"):
        following.landing("overdue ones")
    following.close()


def test_a_failed_transaction_promises_nothing(run: Run) -> None:
    landing = run.landing()
    run.land(landing, 1, *rows(10))
    run.database.execute(
        "CREATE TRIGGER full BEFORE UPDATE ON _zoho_resource"
        " BEGIN SELECT RAISE(ABORT, 'disk full'); END"
    )
    with pytest.raises(DestinationError, match="disk full"):
        run.land(landing, 2, *rows(11))
    run.database.execute("DROP TRIGGER full")
    landing.close()
    resumed = run.landing()
    assert run.land(resumed, 2, *rows(11, 12)) == 2
    assert resumed.position.rows == 3
    assert run.part.read_bytes() == text(10, 11, 12)
    resumed.close()


def test_deleted_records_become_rows_that_say_so(run: Run) -> None:
    first = run.landing()
    run.land(first, 1, *rows(10, 11, 12))
    first.complete(WHEN)
    following = again(run, "second")
    second = following.landing(asked=RunOptions(detect_deletions=True))
    following.land(second, 1, *rows(11))
    assert second.unseen() == ["10", "12"]
    second.swept("10", ["10"], WHEN)
    assert second.unseen() == ["12"]
    second.swept("12", [], WHEN)
    assert second.unseen() == []
    second.complete(WHEN)
    (path,) = run.changes
    assert path.read_bytes() == b'{"invoice_id":"10","_deleted_time":"%s"}\n' % WHEN.encode()
    third = again(following, "third")
    assert third.landing(asked=RunOptions(detect_deletions=True)).unseen() == ["11", "12"]
    third.close()


@pytest.mark.parametrize("place", [Origin("20345678", PLACE.host), Origin("10234695", "elsewhere")])
def test_a_checkpoint_of_another_place_is_refused(run: Run, place: Origin) -> None:
    with pytest.raises(CheckpointRefused, match=r"organization 10234695.*another place"):
        State.open(run.database, place, name="here", restart=True)


def test_a_checkpoint_of_another_version_is_refused_unless_fresh(run: Run) -> None:
    run.landing().close()
    run.database.execute("UPDATE _zoho_place SET form = 99")
    with pytest.raises(CheckpointRefused, match=r"another version.*--restart"):
        State.open(run.database, PLACE, name="here")
    anew = State.open(run.database, PLACE, name="here", restart=True)
    assert anew.positions() == []


def test_a_checkpoint_file_of_another_version_is_refused(run: Run) -> None:
    run.database.execute("PRAGMA user_version = 99")
    run.close()
    with pytest.raises(CheckpointRefused, match=r"another version.*delete"):
        Directory(run.path).open(PLACE)


def test_a_checkpoint_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / "checkpoint.sqlite").write_bytes(b"not a database at all" * 100)
    with pytest.raises(CheckpointRefused, match="cannot be read"):
        Directory(tmp_path).open(PLACE)


OTHER = (
    "import sys, pathlib\n"
    "from zoho_async.export.destinations.base import Place\n"
    "from zoho_async.export.destinations.directory import Directory\n"
    "from zoho_async.export.errors import ExportRunning\n"
)


def test_a_second_run_into_the_same_directory_says_so(run: Run) -> None:
    with pytest.raises(ExportRunning, match="another export is running"):
        Directory(run.path).open(PLACE)
    program = (
        "try: Directory(sys.argv[1]).open(Place('10234695', 'h'))\n"
        "except ExportRunning: print('refused')"
    )
    other = subprocess.run(
        [sys.executable, "-c", OTHER + program, str(run.path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert other.stdout == "refused\n"


def test_a_directory_that_cannot_be_made_is_told_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DestinationError, match=r"cannot write to .*file.*choose another place"):
        Directory(tmp_path / "file").open(PLACE)


def test_the_lock_ends_with_the_process_that_held_it(tmp_path: Path) -> None:
    program = (
        "held = Directory(sys.argv[1]); held.open(Place('10234695', 'h'))\n"
        "print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", OTHER + program, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(ExportRunning):
            Directory(tmp_path).open(PLACE)
        holder.kill()
    free = Directory(tmp_path)
    free.open(PLACE)
    free.close()


def test_the_state_file_closes_what_it_opened_when_it_refuses(run: Run) -> None:
    run.database.execute("PRAGMA user_version = 99")
    run.close()
    with pytest.raises(CheckpointRefused):
        Directory(run.path).open(PLACE)
    free = sqlite3.connect(run.path / FOLDER / "checkpoint.sqlite", timeout=0)
    free.execute("BEGIN EXCLUSIVE")
    free.close()


def test_two_files_of_one_job_do_not_touch_each_other(tmp_path: Path) -> None:
    one, two = JsonLines(tmp_path / "a.jsonl"), JsonLines(tmp_path / "b.jsonl")
    one.reopen(0)
    two.reopen(0)
    one.append([b"1"])
    two.append([b"2"])
    one.close()
    two.close()
    assert (one.path.read_bytes(), two.path.read_bytes()) == (b"1\n", b"2\n")
