"""``--to`` names a destination; any other value is refused with advice."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path

import pytest

from zoho_async.errors import ConfigurationError
from zoho_async.export.destinations import DuckDb, PostgreSql, Sqlite
from zoho_async.export.destinations.directory import Directory
from zoho_async.export.destinations.open import UnknownDestination, open_destination
from zoho_async.export.destinations.single_file import SingleFile
from zoho_async.export.errors import CheckpointRefused, DestinationError, MissingExtra


@pytest.mark.parametrize(
    ("to", "kind"),
    [
        ("postgresql://zoho@db.example/books", PostgreSql),
        ("postgres://zoho@db.example/books", PostgreSql),
        ("duckdb:data/books.bin", DuckDb),
        ("books.duckdb", DuckDb),
        ("sqlite:books", Sqlite),
        ("books.sqlite", Sqlite),
        ("books.SQLITE3", Sqlite),
        ("books.db", Sqlite),
        ("books.xlsx", SingleFile),
        ("invoices.books.CSV", SingleFile),
        ("books.parquet", SingleFile),
        ("books.jsonl", SingleFile),
        ("books.jsonl.gz", SingleFile),
        ("books.jsonl.zst", SingleFile),
        ("books", Directory),
        ("books-2026.11.28", Directory),
        (".books", Directory),
        ("books.csv/", Directory),
        ("books.v2/", Directory),
    ],
)
def test_a_place_is_known_by_its_name(to: str, kind: type) -> None:
    destination = open_destination(to)
    assert isinstance(destination, kind)
    assert "books" in destination.name


@pytest.mark.parametrize("format", [None, "jsonl", "jsonl.gz", "jsonl.zst", "csv", "parquet"])
def test_any_other_path_is_a_directory_of_files(format: str | None, tmp_path: Path) -> None:
    pytest.importorskip("zoho_async.export.destinations.directory")
    destination = open_destination(tmp_path / "out", format)
    assert destination.name == str(tmp_path / "out")
    assert open_destination(str(tmp_path)).name == str(tmp_path)


def test_excel_is_for_csv(tmp_path: Path) -> None:
    open_destination(tmp_path / "out.csv", excel=True)
    open_destination(tmp_path / "out", "csv", excel=True)
    for to, format in (("out", None), ("out", "parquet"), ("out.db", None), ("out.xlsx", None)):
        with pytest.raises(UnknownDestination, match="--excel"):
            open_destination(to, format, excel=True)


def test_a_directory_keeps_the_options_of_its_format(tmp_path: Path) -> None:
    open_destination(tmp_path, "csv", True, excel=True).open().close()
    open_destination(tmp_path).open().close()
    with pytest.raises(CheckpointRefused, match="--format csv --flatten --excel"):
        open_destination(tmp_path, "csv").open()


def test_organizations_have_separate_files() -> None:
    made = [
        open_destination(to, organization="10234695").name
        for to in ("a/out.jsonl.gz", "books.XLSX", "books.db", "sqlite:books")
    ]
    assert made[0] == str(Path("a/out-10234695.jsonl.gz"))
    assert made[1] == "books-10234695.XLSX"
    assert made[2:] == ["books-10234695.db", "books-10234695"]


@pytest.mark.parametrize(
    ("to", "format", "flatten", "advice"),
    [
        ("mysql://zoho:s3cret@db/books", None, False, "postgresql://user@host/name"),
        ("duckdb:", None, False, "duckdb:books.duckdb"),
        ("books.db", "csv", False, "is a database"),
        ("books.duckdb", None, True, "remove these options"),
        ("out", "xls", False, "jsonl, jsonl.gz, jsonl.zst, csv, parquet"),
        ("out", "xlsx", False, "use --to out.xlsx"),
        ("out", None, True, "JSON Lines hold each row whole"),
        ("out.csv", None, True, "--format csv --flatten --to out, or --flatten --to out.xlsx"),
        ("out.jsonl.gz", None, True, "--format csv --flatten --to out,"),
        ("out.csv", "parquet", False, "--to out"),
        ("data/out.txt", None, False, "did you mean data/out.csv?"),
        ("out.xls", None, False, "did you mean out.xlsx?"),
        ("out.json", None, False, "did you mean out.jsonl?"),
        ("out.csv.gz", None, False, "did you mean out.csv?"),
        ("", None, False, "--to is empty"),
        ("out.duckbd", None, False, "did you mean out.duckdb?"),
        ("out.Parqet", None, False, "did you mean out.parquet?"),
        ("out.v2", None, False, "a directory of files is out.v2/"),
    ],
)
def test_an_invalid_destination_says_what_is_valid(
    to: str, format: str | None, flatten: bool, advice: str
) -> None:
    with pytest.raises(UnknownDestination) as refused:
        open_destination(to, format, flatten)
    assert advice in str(refused.value)
    assert "s3cret" not in str(refused.value)
    assert isinstance(refused.value, ConfigurationError)


@pytest.mark.parametrize(
    ("to", "format", "module", "extra"),
    [
        ("out", "parquet", "pyarrow", "zoho-async[parquet]"),
        ("out.xlsx", None, "xlsxwriter", "zoho-async[xlsx]"),
        ("out", "jsonl.zst", "zstandard", "zoho-async[zstd]"),
        ("books.duckdb", None, "duckdb", "zoho-async[duckdb]"),
        ("postgresql://zoho@db/books", None, "psycopg", "zoho-async[postgresql]"),
        ("s3://lake/books", None, "s3fs", "zoho-async[s3]"),
        ("gs://lake/books", None, "gcsfs", "gcsfs"),
        ("abfs://lake/books", None, "adlfs", "adlfs"),
    ],
)
def test_a_missing_library_says_what_to_install(
    to: str, format: str | None, module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtra) as refused:
        open_destination(to, format)
    assert f"pip install '{extra}'" in str(refused.value)


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://zoho:s3cret-Passw0rd@127.0.0.1:1/books",
        "postgresql://zoho:s3cret%40Passw0rd@127.0.0.1:1/books",
        "postgresql://zoho:s3cret@Passw0rd@127.0.0.1:1/books",
        "postgresql://zoho:s3cret/Passw0rd@127.0.0.1:1/books",
        "postgresql://zoho:s3cret?Passw0rd@127.0.0.1:1/books",
        "postgresql://zoho:s3cret#Passw0rd@127.0.0.1:1/books",
        "postgresql://zoho:s3cret:Passw0rd@127.0.0.1:1/books",
        "postgresql://zoho@127.0.0.1:1/books?password=s3cretPassw0rd",
        "postgresql://zoho@127.0.0.1:1/books?password=s3cretPassw0rd&s3cret",
    ],
)
def test_a_password_is_never_shown(address: str) -> None:
    with pytest.raises(DestinationError) as refused:
        open_and_name(address)
    causes = [refused.value, refused.value.__cause__, refused.value.__context__]
    told = "".join(f"{each!r} {each}" for each in causes)
    assert "s3cret" not in told
    assert "Passw0rd" not in told


def open_and_name(address: str) -> None:
    destination = open_destination(address)
    told = f"{destination!r} {destination.name}"
    assert "s3cret" not in told
    assert "Passw0rd" not in told
    destination.open()


def test_a_user_whose_password_is_its_name_still_learns_what_is_wrong() -> None:
    with pytest.raises(DestinationError, match="refused"):
        open_destination("postgresql://postgres:postgres@127.0.0.1:1/postgres").open()


@pytest.mark.parametrize("to", ["out", "books.sqlite", "books.duckdb"])
def test_only_an_open_destination_takes_rows(to: str, tmp_path: Path) -> None:
    destination = open_destination(tmp_path / to)
    members = {"sink", "database", "close"}
    assert not members & set(dir(destination))
    with closing(destination.open()) as place:
        assert members <= set(dir(place))
        assert place.name == destination.name


def test_a_directory_that_refuses_a_format_is_not_locked(tmp_path: Path) -> None:
    open_destination(tmp_path, "csv").open().close()
    with pytest.raises(CheckpointRefused, match="--format csv") as refused:
        open_destination(tmp_path, "jsonl").open()
    open_destination(tmp_path, "csv").open().close()
    assert refused.traceback  # it keeps the frames, and so an open file, alive


@pytest.mark.parametrize("suffix", ["duckdb", "sqlite"])
def test_a_file_of_another_program_is_kept(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"notes.{suffix}"
    path.write_text("a list of things to do, longer than a header\n" * 100)
    before = path.read_bytes()
    with pytest.raises(DestinationError, match="move or rename the file"):
        open_destination(path).open()
    assert path.read_bytes() == before
