"""Typed Parquet: exact decimals, dates, times in UTC, lists as lists of structs.

With ``flatten`` each list of objects becomes a separate file: ``invoices__line_items.parquet`` next
to ``invoices.parquet``, keyed to its parent (`zoho_async.export.columns.tables`). Child files get
their names before the parent does, so if the parent exists, its children do.

Rows are collected into row groups of `GROUP` bytes. A reader decodes one group at a time, and this
module holds one group in memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from zoho_async.export.columns.arrow import Arrow
from zoho_async.export.columns.batch import reader_of
from zoho_async.export.columns.observed import until_steady
from zoho_async.export.columns.schema import DELETED, ROW, shape_of
from zoho_async.export.columns.tables import digest
from zoho_async.export.destinations.base import Table
from zoho_async.export.destinations.directory import portions
from zoho_async.export.destinations.formats.tables import child_names, spool_tables, stem
from zoho_async.export.destinations.merge import (
    ROWS,
    NewestSources,
    newest_sources,
    unmergeable_column,
)
from zoho_async.export.errors import library
from zoho_async.files import sync_and_move

GROUP: Final = 8 << 20


class Parquet:
    """``.parquet``. Raises `MissingExtra` if ``pyarrow`` is not installed.

    ``notes`` are texts by name, stored in the metadata of the main file.
    """

    suffix: str = ".parquet"

    def __init__(self, *, flatten: bool = False, notes: Mapping[str, str] | None = None) -> None:
        self._arrow: Final = Arrow(library("pyarrow", "parquet", "writing Parquet"))
        self._parquet: Final[Any] = library("pyarrow.parquet", "parquet", "writing Parquet")
        self._flatten: Final = flatten
        self._notes: Final = dict(notes or {})
        self.name: Final = "parquet --flatten" if flatten else "parquet"

    def write(self, rows: Path, target: Path, table: Table) -> Mapping[str, int]:
        """Write ``rows`` to ``target``, and with ``flatten`` child tables next to it.

        Return how many numbers were rounded, by field.
        """
        write = self._write_flat if self._flatten else self._write_nested
        return until_steady(lambda: write(rows, target, table))

    def _write_nested(self, rows: Path, target: Path, table: Table) -> Mapping[str, int]:
        rounded: Counter[str] = Counter()
        reader = reader_of(
            shape_of(table.fields, table.row_id, texts=True), table.observer, "decimal"
        )
        shape = reader.shape
        with _Groups(
            self._parquet, self._arrow, target, self._arrow.nested_schema(shape)
        ) as groups:
            groups.note(self._notes)
            for _, batch in reader.read_all(portions(rows)):
                rounded.update(batch.rounded)
                groups.add(self._arrow.nested(shape, batch))
        return rounded

    def _write_flat(self, rows: Path, target: Path, table: Table) -> Mapping[str, int]:
        source = spool_tables(stem(rows), table, flatten=True, texts=True, numbers="decimal")
        children = [target.with_name(f"{each.name}{self.suffix}.tmp") for each in source.tables[1:]]
        with ExitStack() as stack:
            files = [
                stack.enter_context(
                    _Groups(self._parquet, self._arrow, path, self._arrow.schema(each.columns))
                )
                for path, each in zip((target, *children), source.tables, strict=True)
            ]
            files[0].note(self._notes)
            for portion in source.read(rows):
                for groups, each, columns in zip(files, source.tables, portion, strict=True):
                    groups.add(self._arrow.flat(each.columns, columns))
        for path in children:
            sync_and_move(path, path.with_suffix(""))
        return source.roundings

    def merge(self, full: Path, parts: Sequence[Path], scratch: Path, table: Table) -> int:
        """Merge ``parts`` into ``full`` and return its number of rows (`NewestSources`).

        Child tables are merged first, each file separately. Changes stay until all are merged.
        """
        sources = [full, *parts]
        with newest_sources(scratch) as last:
            for number, path in enumerate(parts, 1):
                for batch in self._batches(path, [table.row_id, DELETED]):
                    gone = batch.column(DELETED).is_valid().to_pylist()
                    last.add(number, _ids(batch, table.row_id), gone)
            for child in child_names(sources, self.suffix) if self._flatten else ():
                own = [path.with_name(stem(path) + child) for path in sources]
                self._merge_one(own, ROW, last, table)
            return self._merge_one(sources, table.row_id, last, table)

    def _merge_one(
        self, sources: Sequence[Path], key: str, last: NewestSources, table: Table
    ) -> int:
        """Merge files of one table into the first and return its number of rows."""
        there = [(number, path) for number, path in enumerate(sources) if path.exists()]
        schema = self._schema([path for _, path in there], table)
        made = sources[0].with_name(sources[0].name + ".tmp")
        count = 0
        with _Groups(self._parquet, self._arrow, made, schema) as groups:
            for number, path in there:
                for batch in self._batches(path):
                    kept = batch.filter(self._arrow.pa.array(last.select(number, _ids(batch, key))))
                    groups.add(self._arrow.with_columns(kept, schema))
                    count += kept.num_rows
        sync_and_move(made, sources[0])
        return count

    def _schema(self, paths: Sequence[Path], table: Table) -> Any:
        """All columns of the files. A column that a file lacks is null; its ``_extra`` holds it.

        Columns of observed fields may have become text.
        """
        columns = reader_of(shape_of(table.fields, table.row_id), table.observer).shape.columns
        observed = table.observer.fields if table.observer else ()
        texts = {one.path for one in observed if one.kind == "text"}
        widened = {one.name for one in columns if one.path in texts}
        fields: dict[str, Any] = {}
        for path in paths:
            for field in self._parquet.read_schema(path):
                if fields.setdefault(field.name, field).type == field.type:
                    continue
                if field.name not in widened:
                    raise unmergeable_column(path, field.name)
                fields[field.name] = self._arrow.pa.field(field.name, self._arrow.pa.string())
        return self._arrow.pa.schema(list(fields.values()))

    def _batches(self, path: Path, columns: Sequence[str] | None = None) -> Iterator[Any]:
        with self._parquet.ParquetFile(path, pre_buffer=False) as file:
            for name in columns or ():
                if name not in file.schema_arrow.names:
                    raise unmergeable_column(path, name)
            yield from file.iter_batches(ROWS, columns=columns, use_threads=False)


class _Groups:
    """One Parquet file, written in row groups of bounded size."""

    def __init__(self, parquet: Any, arrow: Arrow, path: Path, schema: Any) -> None:
        self._arrow: Final = arrow
        path.unlink(missing_ok=True)  # it may be a symbolic link
        self._writer: Final[Any] = parquet.ParquetWriter(path, schema, compression="zstd")
        self._pending: list[Any] = []
        self._bytes = 0

    def note(self, notes: Mapping[str, str]) -> None:
        if notes:
            self._writer.add_key_value_metadata(notes)

    def add(self, table: Any) -> None:
        self._pending.append(table)
        self._bytes += table.nbytes
        if self._bytes >= GROUP:
            self._flush()

    def _flush(self) -> None:
        if self._pending:
            table = self._arrow.pa.concat_tables(self._pending)
            self._pending, self._bytes = [], 0
            self._writer.write_table(table, row_group_size=max(1, table.num_rows))

    def __enter__(self) -> _Groups:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._flush()
        finally:
            self._writer.close()


def _ids(batch: Any, key: str) -> list[str]:
    ids: list[str | None] = batch.column(key).to_pylist()
    return [
        one or digest(repr(batch.slice(place, 1).to_pylist()).encode())
        for place, one in enumerate(ids)
    ]
