"""What an export has promised is there after any kind of end, and nothing stands beside it."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from zoho_async.export.checkpoint import FOLDER, Checkpoint, Place
from zoho_async.export.errors import CheckpointRefused, DestinationError, ExportRunning
from zoho_async.export.jsonl import JsonLines, line
from zoho_async.export.landing import Landing, settle

PLACE = Place("10234695", "www.zohoapis.com")


@pytest.fixture
def checkpoint(tmp_path: Path) -> Iterator[Checkpoint]:
    one = Checkpoint.open(tmp_path, PLACE)
    one.enter("run")
    yield one
    one.close()


def landing_on(checkpoint: Checkpoint, request: str = "all", *, identified: bool = True) -> Landing:
    landing = Landing(checkpoint, "books.invoices", request, identified=identified)
    landing.open()
    return landing


def again(checkpoint: Checkpoint, run: str = "run") -> Checkpoint:
    """The next process: the old one's hold on the directory ended."""
    checkpoint.close()
    following = Checkpoint.open(checkpoint.directory, PLACE)
    settle(following)
    following.enter(run)
    return following


def rows(*ids: int) -> tuple[list[bytes], list[str]]:
    return [b'{"invoice_id":"%d"}' % one for one in ids], [str(one) for one in ids]


def test_a_row_keeps_its_bytes_and_becomes_one_line() -> None:
    assert line(b'{"a": 1.50,\r\n "b":"x\\ny"}') == b'{"a": 1.50,   "b":"x\\ny"}\n'


def test_a_tail_that_was_never_promised_is_cut_off(checkpoint: Checkpoint) -> None:
    landing = landing_on(checkpoint)
    landing.land(1, *rows(10, 11))
    landing.close()
    with landing.file.part.open("ab") as file:
        file.write(b'{"invoice_id":"12"}\n{"invoi')
    following = again(checkpoint)
    resumed = landing_on(following)
    assert resumed.position.page == 1
    assert resumed.file.part.read_bytes() == b'{"invoice_id":"10"}\n{"invoice_id":"11"}\n'
    resumed.close()
    following.close()


def test_a_file_that_lost_promised_rows_is_read_anew(checkpoint: Checkpoint) -> None:
    landing = landing_on(checkpoint)
    landing.land(1, *rows(10, 11))
    landing.close()
    landing.file.part.write_bytes(b"{}")
    resumed = landing_on(checkpoint)
    assert (resumed.position.page, resumed.position.rows) == (0, 0)
    assert resumed.land(1, *rows(10, 11)) == 2
    resumed.close()


def test_a_row_that_comes_again_is_not_written_again(checkpoint: Checkpoint) -> None:
    landing = landing_on(checkpoint)
    assert landing.land(1, *rows(10, 11, 10)) == 2
    assert landing.land(2, *rows(11, 12)) == 1
    following = again(checkpoint)
    resumed = landing_on(following)
    assert resumed.land(2, *rows(11, 12, 9)) == 1
    resumed.complete()
    assert resumed.file.path.read_bytes() == b"".join(map(line, rows(10, 11, 12, 9)[0]))
    following.close()


def test_pages_above_everything_seen_are_not_looked_up(checkpoint: Checkpoint) -> None:
    landing = landing_on(checkpoint)
    for page in range(1, 20):
        landing.land(page, *rows(*range(page * 200, page * 200 + 200)))
    assert landing.seen.look_ups == 0
    landing.land(20, *rows(205, 10**17))
    assert landing.seen.look_ups == 1
    landing.close()


def test_rows_without_an_id_are_told_apart_by_their_bytes(checkpoint: Checkpoint) -> None:
    landing = landing_on(checkpoint)
    assert landing.land(1, [b'{"a":1}', b'{"a":2}'], ["", ""]) == 2
    assert landing.land(2, [b'{"a":2}', b'{"a":3}'], ["", ""]) == 1
    landing.close()


def test_ids_that_are_no_numbers_or_too_large_are_told_apart_too(checkpoint: Checkpoint) -> None:
    ids = ["-1", "007", "7", "9223372036854775808", "9999999999999999999", "abc"]
    data = [b"{}"] * len(ids)
    landing = landing_on(checkpoint)
    assert landing.land(1, data, ids) == len(ids)
    assert landing.land(2, data, ids) == 0
    landing.close()


def test_a_list_whose_rows_have_no_ids_keeps_equal_rows_and_begins_anew(
    checkpoint: Checkpoint,
) -> None:
    landing = landing_on(checkpoint, identified=False)
    assert landing.land(1, [b"{}", b"{}"], ["", ""]) == 2
    landing.close()
    resumed = landing_on(checkpoint, identified=False)
    assert resumed.position.rows == 0
    resumed.close()


def test_the_finished_file_stays_until_the_new_one_is_complete(checkpoint: Checkpoint) -> None:
    first = landing_on(checkpoint)
    first.land(1, *rows(10))
    first.complete()
    checkpoint.finish(["books.invoices"])
    second = landing_on(checkpoint)
    second.land(1, *rows(20))
    assert second.file.path.read_bytes() == b'{"invoice_id":"10"}\n'
    second.complete()
    assert second.file.path.read_bytes() == b'{"invoice_id":"20"}\n'
    assert not second.file.part.exists()


def test_an_end_between_the_last_promise_and_the_name_is_put_right(checkpoint: Checkpoint) -> None:
    landing = landing_on(checkpoint)
    landing.land(1, *rows(10))
    checkpoint.complete(landing.position)  # and here the process ends
    landing.close()
    following = again(checkpoint, run="another run")
    assert landing.file.path.read_bytes() == b'{"invoice_id":"10"}\n'
    following.close()


def test_what_a_run_completed_counts_as_done_in_that_run_only(checkpoint: Checkpoint) -> None:
    landing = landing_on(checkpoint)
    landing.land(1, *rows(10))
    landing.complete()
    same = again(checkpoint)
    assert landing_on(same).position.complete
    other = again(same, run="another run")
    position = landing_on(other).position
    assert (position.complete, position.rows) == (False, 0)
    other.close()


def test_a_resource_in_the_middle_goes_on_whichever_run_asks(checkpoint: Checkpoint) -> None:
    landing = landing_on(checkpoint)
    landing.land(1, *rows(10))
    landing.close()
    other = again(checkpoint, run="another run")
    resumed = landing_on(other)
    assert resumed.position.rows == 1
    resumed.close()
    other.close()


def test_fresh_gives_up_what_an_interrupted_run_left(checkpoint: Checkpoint) -> None:
    landing = landing_on(checkpoint)
    landing.land(1, *rows(10))
    landing.close()
    checkpoint.enter("run", fresh=True)
    anew = landing_on(checkpoint, "other filters")
    assert anew.position.rows == 0
    anew.close()


def test_other_filters_are_refused_while_the_list_is_unfinished(checkpoint: Checkpoint) -> None:
    landing = landing_on(checkpoint)
    landing.land(1, *rows(10))
    landing.close()
    with pytest.raises(CheckpointRefused, match=r"other filters.*--fresh"):
        landing_on(checkpoint, "overdue ones")


def test_a_failed_transaction_promises_nothing(checkpoint: Checkpoint) -> None:
    landing = landing_on(checkpoint)
    landing.land(1, *rows(10))
    checkpoint.database.execute(
        "CREATE TRIGGER full BEFORE UPDATE ON resource BEGIN SELECT RAISE(ABORT, 'disk full'); END"
    )
    with pytest.raises(DestinationError, match="disk full"):
        landing.land(2, *rows(11))
    checkpoint.database.execute("DROP TRIGGER full")
    landing.close()
    resumed = landing_on(checkpoint)
    assert resumed.land(2, *rows(11, 12)) == 2
    assert resumed.position.rows == 3
    assert resumed.file.part.read_bytes() == b"".join(map(line, rows(10, 11, 12)[0]))
    resumed.close()


@pytest.mark.parametrize("place", [Place("20345678", PLACE.host), Place("10234695", "elsewhere")])
def test_a_checkpoint_of_another_place_is_refused(checkpoint: Checkpoint, place: Place) -> None:
    checkpoint.close()
    with pytest.raises(CheckpointRefused, match=r"organization 10234695.*another directory"):
        Checkpoint.open(checkpoint.directory, place, fresh=True)


def test_a_checkpoint_of_another_version_is_refused_unless_fresh(checkpoint: Checkpoint) -> None:
    landing = landing_on(checkpoint)
    landing.close()
    checkpoint.database.execute("PRAGMA user_version = 99")
    checkpoint.close()
    with pytest.raises(CheckpointRefused, match=r"another version.*--fresh"):
        Checkpoint.open(checkpoint.directory, PLACE)
    anew = Checkpoint.open(checkpoint.directory, PLACE, fresh=True)
    assert anew.positions() == []
    anew.close()


def test_a_checkpoint_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / "checkpoint.sqlite").write_bytes(b"not a database at all" * 100)
    with pytest.raises(CheckpointRefused, match="cannot be read"):
        Checkpoint.open(tmp_path, PLACE)


def test_a_second_run_into_the_same_directory_says_so(checkpoint: Checkpoint) -> None:
    with pytest.raises(ExportRunning, match="another export is running"):
        Checkpoint.open(checkpoint.directory, PLACE)
    other = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, pathlib\n"
            "from zoho_async.export.checkpoint import Checkpoint, Place\n"
            "from zoho_async.export.errors import ExportRunning\n"
            "try: Checkpoint.open(pathlib.Path(sys.argv[1]), Place('10234695', 'h'))\n"
            "except ExportRunning: print('refused')",
            str(checkpoint.directory),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert other.stdout == "refused\n"


def test_a_directory_that_cannot_be_made_is_told_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DestinationError, match=r"cannot write to .*file.*choose another directory"):
        Checkpoint.open(tmp_path / "file", PLACE)


def test_the_lock_ends_with_the_process_that_held_it(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, pathlib\n"
            "from zoho_async.export.checkpoint import Checkpoint, Place\n"
            "held = Checkpoint.open(pathlib.Path(sys.argv[1]), Place('10234695', 'h'))\n"
            "print('held', flush=True); sys.stdin.read()",
            str(tmp_path),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(ExportRunning):
            Checkpoint.open(tmp_path, Place("10234695", "h"))
        holder.kill()
    Checkpoint.open(tmp_path, Place("10234695", "h")).close()


def test_the_database_closes_what_it_opened_when_it_refuses(tmp_path: Path) -> None:
    Checkpoint.open(tmp_path, PLACE).close()
    with pytest.raises(CheckpointRefused):
        Checkpoint.open(tmp_path, Place("1", "h"))
    free = sqlite3.connect(tmp_path / FOLDER / "checkpoint.sqlite", timeout=0)
    free.execute("BEGIN EXCLUSIVE")
    free.close()


def test_two_files_of_one_job_do_not_touch_each_other(tmp_path: Path) -> None:
    one, two = JsonLines(tmp_path / "a.jsonl"), JsonLines(tmp_path / "b.jsonl")
    one.reopen(0)
    two.reopen(0)
    one.append([b"1"])
    two.append([b"2"])
    one.settle()
    two.settle()
    assert (one.path.read_bytes(), two.path.read_bytes()) == (b"1\n", b"2\n")
