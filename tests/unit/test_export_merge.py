"""A merge holds each record once, in its last version, also after a crash."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.support.export_run import WHEN, Run
from zoho_async.export.destinations.directory import Directory
from zoho_async.export.destinations.merge import merge
from zoho_async.export.errors import CheckpointRefused, ExportRunning
from zoho_async.export.part_end import complete_part
from zoho_async.export.resource_store import RunOptions


def row(identity: int, version: int) -> bytes:
    return b'{"invoice_id":"%d","version":%d}' % (identity, version)


def exported(run: Run, versions: dict[int, int], *, asked: RunOptions | None = None) -> None:
    """One run that finds the records in these versions."""
    writer = run.writer(asked=asked)
    rows = [row(identity, version) for identity, version in versions.items()]
    run.write_pages(writer, 1, rows, [str(identity) for identity in versions])
    if asked is not None and asked.detect_deletions:
        gone = writer.store.find_unseen()
        writer.mark_checked(gone[-1], gone, WHEN)
    complete_part(writer.store, WHEN)
    run.close()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A full read and three later runs; 2 was changed twice, 3 is gone, 1 came back."""
    exported(Run(tmp_path), {1: 1, 2: 1, 3: 1})
    exported(Run(tmp_path, "b"), {2: 2, 4: 1})
    exported(Run(tmp_path, "c"), {2: 3, 4: 1}, asked=RunOptions(detect_deletions=True))
    exported(Run(tmp_path, "d"), {5: 1, 1: 2, 2: 3})
    return tmp_path


MERGED = [{"invoice_id": "1", "version": 2}, {"invoice_id": "2", "version": 3}]
MERGED += [{"invoice_id": "4", "version": 1}, {"invoice_id": "5", "version": 1}]


def held(directory: Path) -> list[object]:
    return [json.loads(one) for one in (directory / "books/invoices.jsonl").read_text().split()]


def names(directory: Path) -> list[str]:
    return sorted(
        str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()
    )


def test_a_merge_holds_each_record_once_as_it_was_last(directory: Path) -> None:
    (merged,) = merge(Directory(directory))
    assert (merged.resource, merged.rows, merged.changes) == ("books.invoices", 4, 3)
    assert held(directory) == MERGED
    kept = [".zoho-export/checkpoint.sqlite", ".zoho-export/format", "books/invoices.jsonl"]
    assert names(directory) == kept
    assert merge(Directory(directory)) == []


def test_a_field_of_zoho_with_the_name_of_ours_does_not_delete_its_record(tmp_path: Path) -> None:
    record = {"invoice_id": "1", "version": 2, "_deleted_time": "2026-11-23T02:00:00+0000"}
    exported(Run(tmp_path), {1: 1})
    run = Run(tmp_path, "b")
    writer = run.writer()
    run.write_pages(writer, 1, [json.dumps(record).encode()], ["1"])
    complete_part(writer.store, WHEN)
    run.close()
    merge(Directory(tmp_path))
    (line,) = (tmp_path / "books/invoices.jsonl").read_text().splitlines()
    assert json.loads(line) == record


@pytest.mark.parametrize("kept", [1, 2, 3])
def test_a_merge_that_ended_while_it_removed_the_changes_is_merged_again(
    directory: Path, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlink, left = os.unlink, 3 - kept

    def until_the_end(path: Path) -> None:
        nonlocal left
        if path.parent.name == "invoices.changes":
            left -= 1
            if left < 0:
                raise KeyboardInterrupt
        unlink(path)

    with monkeypatch.context() as end:
        end.setattr("os.unlink", until_the_end)
        with pytest.raises(KeyboardInterrupt):
            merge(Directory(directory))
    assert held(directory) == MERGED
    merge(Directory(directory))
    assert held(directory) == MERGED


def test_a_merge_that_ended_before_the_new_file_had_its_name_changed_nothing(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = names(directory), held(directory)

    def end(made: Path, target: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("os.replace", end)
        with pytest.raises(KeyboardInterrupt):
            merge(Directory(directory))
    assert held(directory) == before[1]
    assert set(before[0]) <= set(names(directory))
    merge(Directory(directory))
    assert held(directory) == MERGED


def test_what_was_completed_right_before_the_end_is_merged_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported(Run(tmp_path), {1: 1})
    run = Run(tmp_path, "b")
    writer = run.writer()
    run.write_pages(writer, 1, [row(2, 1)], ["2"])
    with monkeypatch.context() as end:
        end.setattr(type(writer.store.sink), "settle", lambda _: None)
        complete_part(writer.store, WHEN)
    run.close()
    merge(Directory(tmp_path))
    assert [json.loads(one)["invoice_id"] for one in text_of(tmp_path)] == ["1", "2"]


def text_of(directory: Path) -> list[str]:
    return (directory / "books/invoices.jsonl").read_text().split()


def test_an_export_after_a_merge_continues_from_it(directory: Path) -> None:
    merge(Directory(directory))
    exported(Run(directory, "e"), {1: 2, 5: 2, 6: 1})
    merge(Directory(directory))
    assert {one["invoice_id"]: one["version"] for one in map(json.loads, text_of(directory))} == {
        "1": 2, "2": 3, "4": 1, "5": 2, "6": 1
    }  # fmt: skip


def test_a_directory_without_an_export_or_in_use_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointRefused, match="holds no export"):
        merge(Directory(tmp_path / "nothing"))
    run = Run(tmp_path)
    with pytest.raises(ExportRunning):
        merge(Directory(tmp_path))
    run.close()
    assert merge(Directory(tmp_path)) == []


def test_changes_in_another_format_are_refused(directory: Path) -> None:
    for path in (directory / "books/invoices.changes").iterdir():
        path.rename(path.with_suffix(".csv"))
    with pytest.raises(CheckpointRefused, match="another form"):
        merge(Directory(directory))


@pytest.mark.parametrize("ending", [".jsonl.part", ".jsonl.tmp"])
def test_changes_that_a_killed_run_left_unfinished_are_none_yet(
    directory: Path, ending: str
) -> None:
    merge(Directory(directory))
    left = directory / "books/invoices.changes" / f"20261123T020000Z{ending}"
    left.parent.mkdir(exist_ok=True)
    left.write_bytes(row(1, 9))
    before = text_of(directory)
    assert merge(Directory(directory)) == []
    assert text_of(directory) == before


def test_an_interrupted_run_is_left_as_it_is_and_not_in_the_way_of_a_merge(tmp_path: Path) -> None:
    exported(Run(tmp_path), {1: 1})
    run = Run(tmp_path, "b")
    run.write_pages(run.writer(), 1, [row(2, 1)], ["2"])
    run.close()
    assert merge(Directory(tmp_path)) == []
    again = Run(tmp_path, "b")
    assert again.writer().state.part.page == 1
    again.close()


def test_two_rows_without_an_id_are_both_kept(tmp_path: Path) -> None:
    exported(Run(tmp_path), {1: 1})
    run = Run(tmp_path, "b")
    writer = run.writer()
    run.write_pages(writer, 1, [b'{"version":1}', b'{"version":2}'], ["", ""])
    complete_part(writer.store, WHEN)
    run.close()
    merge(Directory(tmp_path))
    assert [json.loads(one)["version"] for one in text_of(tmp_path)] == [1, 1, 2]
