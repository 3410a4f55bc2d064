"""A merge of any file format holds each record once, in its last version, also after a crash."""

from __future__ import annotations

import csv
import gzip
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from tests.support import export_run
from tests.support.export_run import WHEN, Run
from zoho_async.export.catalog import exportable
from zoho_async.export.destinations.directory import Directory, Format
from zoho_async.export.destinations.formats import Csv, Gzip, Parquet, Zstandard
from zoho_async.export.destinations.merge import merge
from zoho_async.export.errors import CheckpointRefused
from zoho_async.export.part_end import complete_part
from zoho_async.export.resource_store import RunOptions, table_of

FACTS = exportable()["books.invoices"]
FORMS: dict[str, Callable[[], Format]] = {
    "jsonl.gz": Gzip,
    "jsonl.zst": Zstandard,
    "csv": Csv,
    "flat csv": lambda: Csv(flatten=True),
    "csv for Excel": lambda: Csv(flatten=True, excel=True),
    "parquet": Parquet,
    "flat parquet": lambda: Parquet(flatten=True),
}

pytestmark = pytest.mark.usefixtures("described")


@pytest.fixture
def described(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lists that `Run` writes have the fields of the description."""
    monkeypatch.setitem(export_run.LISTS, "books.invoices", FACTS)


@pytest.fixture(params=list(FORMS))
def form(request: pytest.FixtureRequest) -> Format:
    return FORMS[request.param]()


def row(identity: int, version: int) -> bytes:
    lines = [
        {"line_item_id": f"{identity}{n}", "name": f'a "line",\r\n{version}', "quantity": n}
        for n in range((identity + version) % 4)
    ]
    said = {
        "invoice_id": str(identity),
        "reference_number": f"v{version}\u00e4",
        "total": msgspec.Raw(b"%d.10" % version),
        "date": "2026-01-31",
        "line_items": lines,
        "undocumented": [version],
    }
    return msgspec.json.encode(said)


def exported(run: Run, versions: dict[int, int], *, detect_deletions: bool = False) -> None:
    """One run that finds the records in these versions; one that sweeps finds no others."""
    writer = run.writer(asked=RunOptions(detect_deletions=detect_deletions))
    rows = [row(identity, version) for identity, version in versions.items()]
    run.write_pages(writer, 1, rows, [str(identity) for identity in versions])
    if detect_deletions:
        gone = writer.store.find_unseen()
        writer.mark_checked(gone[-1], gone, WHEN)
    complete_part(writer.store, WHEN)
    run.close()


def with_changes(path: Path, form: Format) -> Path:
    """A full read and three later runs; 2 was changed twice, 3 is gone, 1 came back."""
    exported(Run(path, form=form), {1: 1, 2: 1, 3: 1, 6: 1, 7: 1})
    exported(Run(path, "b", form=form), {2: 2, 4: 1})
    exported(Run(path, "c", form=form), {2: 3, 4: 1, 6: 1, 7: 1}, detect_deletions=True)
    exported(Run(path, "d", form=form), {5: 1, 1: 2, 2: 3})
    return path


LAST = {1: 2, 2: 3, 6: 1, 7: 1, 4: 1, 5: 1}


def held(path: Path) -> dict[str, list[Any]]:
    """The sorted content of each file in the product's directory."""
    found: dict[str, list[Any]] = {}
    for file in sorted((path / "books").rglob("*")):
        if file.name.endswith((".parquet", ".csv", ".gz", ".zst")):
            found[file.name] = sorted(_rows(file), key=repr)
    return found


def _rows(file: Path) -> list[Any]:
    if file.suffix == ".parquet":
        return pq.read_table(file).to_pylist()  # type: ignore[no-any-return]  # pyarrow has no types
    if file.suffix == ".csv":
        with file.open(newline="", encoding="utf-8-sig") as text:
            return list(csv.DictReader(text, strict=True))
    data = file.read_bytes()
    unpacked = gzip.decompress(data) if file.suffix == ".gz" else zstandard.decompress(data)
    return unpacked.splitlines()


def expected(path: Path, form: Format) -> dict[str, list[Any]]:
    """What one full read of the last versions leaves."""
    exported(Run(path, form=form), LAST)
    return held(path)


def test_a_merge_holds_what_a_full_read_would(form: Format, tmp_path: Path) -> None:
    path = with_changes(tmp_path / "merged", form)
    (merged,) = merge(Directory(path, form))
    assert (merged.rows, merged.changes) == (len(LAST), 3)
    assert held(path) == expected(tmp_path / "full", form)
    assert not (path / "books/invoices.changes").exists()
    assert sorted(each.name for each in (path / ".zoho-export").iterdir()) == [
        "checkpoint.sqlite",
        "format",
    ]
    assert merge(Directory(path, form)) == []


def test_an_export_goes_on_from_a_merge_and_is_merged_again(form: Format, tmp_path: Path) -> None:
    path = with_changes(tmp_path / "merged", form)
    merge(Directory(path, form))
    exported(Run(path, "e", form=form), {1: 3, 8: 1})
    merge(Directory(path, form))
    exported(Run(tmp_path / "full", form=form), {**LAST, 1: 3, 8: 1})
    assert held(path) == held(tmp_path / "full")


def test_a_merge_interrupted_at_any_step_is_completed_by_the_next(
    form: Format, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = expected(tmp_path / "full", form)
    replace, unlink = os.replace, os.unlink
    for steps in range(40):
        path = with_changes(tmp_path / str(steps), form)
        left = steps

        def step() -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise KeyboardInterrupt

        def replacing(made: Path, target: Path) -> None:
            step()
            replace(made, target)

        def unlinking(path: Path) -> None:
            if path.exists():
                step()
            unlink(path)

        with monkeypatch.context() as end:
            end.setattr("os.replace", replacing)
            end.setattr("os.unlink", unlinking)
            try:
                merge(Directory(path, form))
            except KeyboardInterrupt:
                ended = False
            else:
                ended = True
        if not ended:
            merge(Directory(path, form))
        assert held(path) == whole, steps
        if ended:
            assert steps > 4
            return
    raise AssertionError("the merge never came to its end")


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_file_that_lacks_a_new_column_is_merged_and_one_of_another_type_refused(
    kind: str, tmp_path: Path
) -> None:
    form = FORMS[kind]()
    path = with_changes(tmp_path / "merged", form)
    full = path / f"books/invoices.{kind}"
    if kind == "csv":
        with full.open(newline="", encoding="utf-8") as text:
            rows = list(csv.reader(text))
        place = rows[0].index("total")
        with full.open("w", newline="", encoding="utf-8") as text:
            csv.writer(text).writerows(each[:place] + each[place + 1 :] for each in rows)
    else:
        pq.write_table(pq.read_table(full).drop_columns(["total"]), full)
    merge(Directory(path, form))
    totals = {one["invoice_id"]: one["total"] for one in held(path)[full.name]}
    assert totals["6"] in ("", None)  # of the file that lacked it
    assert float(totals["1"]) == 2.1
    if kind == "parquet":
        exported(Run(path, "e", form=form), {1: 3})
        table = pq.read_table(full)
        other = table.set_column(
            table.schema.get_field_index("total"), "total", table["total"].cast(pa.string())
        )
        pq.write_table(other, full)
        with pytest.raises(CheckpointRefused, match=r"total.*--full"):
            merge(Directory(path, form))


def test_a_directory_keeps_its_form_and_says_so(tmp_path: Path) -> None:
    path = with_changes(tmp_path, Csv())
    before = held(path)
    with pytest.raises(CheckpointRefused, match="--format csv"):
        merge(Directory(path, Parquet()))
    with pytest.raises(CheckpointRefused, match="--format csv"):
        merge(Directory(path))
    assert held(path) == before


_MERGING = """
import sys
from pathlib import Path
from zoho_async.export import merge, open_destination
merge(open_destination(sys.argv[1]))
print(next(int(l.split()[1]) for l in open("/proc/self/status") if l.startswith("VmHWM")))
"""


@pytest.mark.long
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
@pytest.mark.parametrize("kind", ["jsonl.zst", "csv", "parquet"])
def test_the_memory_of_a_merge_does_not_grow_with_the_rows(kind: str, tmp_path: Path) -> None:
    form, chance = FORMS[kind](), random.Random(7)
    peak = []
    for count in (1_000, 30_000):
        path = tmp_path / str(count)
        exported(Run(path, form=form), dict.fromkeys(range(1, count), 1))
        changed = chance.sample(range(1, count), count // 3)
        exported(Run(path, "b", form=form), dict.fromkeys(changed, 2))
        done = subprocess.run(
            [sys.executable, "-c", _MERGING, str(path)], capture_output=True, check=True, text=True
        )
        peak.append(int(done.stdout) / 1024)
        assert len(next(iter(held(path).values()))) == count - 1
    assert peak[1] - peak[0] < 60, peak


def test_rows_come_back_from_packed_files_as_they_were(tmp_path: Path) -> None:
    rows = [row(n, n % 5) for n in range(50)]
    spool = tmp_path / "rows.jsonl"
    spool.write_bytes(b"".join(one + b"\n" for one in rows))
    for packed in (Gzip(), Zstandard()):
        target = tmp_path / f"rows{packed.suffix}"
        packed.write(spool, target, table_of("books.invoices", FACTS))
        assert list(packed.read(target)) == rows
