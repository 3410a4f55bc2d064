"""Convert batches to Arrow tables, for Parquet and DuckDB.

Arrow casts numbers, dates and times from text. The cast is exact, because
`zoho_async.export.columns.decode` passes only text that Arrow reads exactly, if the reader stores
numbers as ``decimal``.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, Final

from zoho_async.export.columns.batch import ListElements, RowBatch
from zoho_async.export.columns.numbers import PRECISION, SCALES
from zoho_async.export.columns.schema import (
    EXACT,
    EXTRA,
    Column,
    ColumnKind,
    ColumnShape,
    Nested,
)


class Arrow:
    """Builds Arrow schemas and tables. ``pa`` is the module ``pyarrow``."""

    def __init__(self, pa: Any) -> None:
        self.pa: Final = pa
        self._types: Final[dict[ColumnKind, Any]] = {
            "text": pa.string(),
            "json": pa.string(),
            "decimal": pa.decimal128(PRECISION, SCALES["decimal"]),
            "exchange_rate": pa.decimal128(PRECISION, SCALES["exchange_rate"]),
            "integer": pa.int64(),
            "boolean": pa.bool_(),
            "date": pa.date32(),
            "time": pa.timestamp("us", "UTC"),
            "texts": pa.list_(pa.string()),
        }

    def schema(self, columns: Sequence[Column]) -> Any:
        """The schema of a flat table."""
        return self.pa.schema([(column.name, self._types[column.kind]) for column in columns])

    def flat(self, columns: Sequence[Column], values: Sequence[Sequence[Any]]) -> Any:
        """A table of flat columns."""
        arrays = [
            self._array(column.kind, cells) for column, cells in zip(columns, values, strict=True)
        ]
        return self.pa.table(arrays, schema=self.schema(columns))

    def nested_schema(self, shape: ColumnShape) -> Any:
        """The schema of rows with nested lists."""
        return self.pa.schema(self._fields(shape))

    def nested(self, shape: ColumnShape, batch: RowBatch) -> Any:
        """A table of rows with nested lists, as lists of structs."""
        return self.pa.table(self._arrays(shape, batch), schema=self.nested_schema(shape))

    def with_columns(self, batch: Any, schema: Any) -> Any:
        """``batch`` as a table of ``schema``. Missing columns are null."""
        arrays = [
            self._as(batch.column(field.name), field.type)
            if field.name in batch.schema.names
            else self.pa.nulls(batch.num_rows, field.type)
            for field in schema
        ]
        return self.pa.table(arrays, schema=schema)

    def _as(self, array: Any, wanted: Any) -> Any:
        """``array``, as exact text if its column became text."""
        pa = self.pa
        if array.type == wanted:
            return array
        if pa.types.is_timestamp(array.type):
            array = array.cast(pa.timestamp("us"))
        text = array.cast(wanted)
        if pa.types.is_timestamp(array.type):
            text = pa.compute.replace_substring(text, " ", "T")
            return pa.compute.binary_join_element_wise(text, "Z", "")
        if pa.types.is_decimal(array.type):
            return pa.compute.utf8_rtrim(pa.compute.utf8_rtrim(text, "0"), ".")
        return text

    def _fields(self, shape: ColumnShape) -> list[Any]:
        field = self.pa.field
        own = [field(column.name, self._types[column.kind]) for column in shape.columns]
        lists = [field(nested.name, self._list_type(nested)) for nested in shape.lists]
        rest = [field(name, self._types["json"]) for name in (EXACT, EXTRA)]
        return [*own, *lists, *rest]

    def _list_type(self, nested: Nested) -> Any:
        return self.pa.list_(self.pa.struct(self._fields(nested.shape)))

    def _arrays(self, shape: ColumnShape, batch: RowBatch) -> list[Any]:
        own = [
            self._array(column.kind, cells)
            for column, cells in zip(shape.columns, batch.values, strict=True)
        ]
        lists = [
            self._list(nested, elements)
            for nested, elements in zip(shape.lists, batch.lists, strict=True)
        ]
        rest = [self._array("json", cells) for cells in (batch.exact, batch.extra)]
        return [*own, *lists, *rest]

    def _list(self, nested: Nested, elements: ListElements) -> Any:
        inside = self._arrays(nested.shape, elements.batch)
        struct = self.pa.StructArray.from_arrays(inside, fields=self._fields(nested.shape))
        ends = [0, *accumulate(count or 0 for count in elements.counts)]
        absent = [count is None for count in elements.counts]
        return self.pa.ListArray.from_arrays(
            self.pa.array(ends, self.pa.int32()),
            struct,
            mask=self.pa.array(absent, self.pa.bool_()),
        ).cast(self._list_type(nested))

    def _array(self, kind: ColumnKind, cells: Sequence[Any]) -> Any:
        wanted = self._types[kind]
        if kind in ("decimal", "exchange_rate", "date", "time"):
            return self.pa.array(cells, self.pa.string()).cast(wanted)
        return self.pa.array(cells, wanted)
