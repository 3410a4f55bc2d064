"""The columns, ``_exact`` and ``_extra`` hold everything that Zoho sends, to the last digit."""

from __future__ import annotations

import json
from decimal import Context, Decimal
from typing import Literal

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import export_rows
from tests.support.examples import examples
from zoho_async.description import Field
from zoho_async.export.columns.batch import ColumnReader, RowBatch
from zoho_async.export.columns.decode import coerce
from zoho_async.export.columns.numbers import NumberStorage
from zoho_async.export.columns.schema import ColumnShape, shape_of
from zoho_async.export.destinations.directory import line

_NAMES = st.sampled_from(("cf_a", "new field", 'odd "name"', "x\u00e4", "0", "_extra_", "total"))
_TEXTS = st.text(max_size=8).map(json.dumps)
_NUMBERS = st.decimals(allow_nan=False, allow_infinity=False).map(
    lambda number: str(number).replace("E", "e")
)
_MONEY = st.decimals(min_value=-(10**17), max_value=10**17, places=2)
_STORAGES = st.sampled_from(("digits", "double", "decimal"))
_ODD = st.sampled_from(export_rows.ODD) | _TEXTS | _NUMBERS


def _objects(fields: tuple[Field, ...], depth: int = 0) -> st.SearchStrategy[str]:
    known = {field.name: _values(field, depth) for field in fields}
    described = st.fixed_dictionaries({}, optional=known)
    unknown = st.dictionaries(_NAMES, _ODD, max_size=2)
    return st.builds(lambda one, other: export_rows._object({**other, **one}), described, unknown)


def _values(field: Field, depth: int) -> st.SearchStrategy[str]:
    usual = _ODD
    if field.fields:
        usual = _objects(field.fields, depth + 1)
        if field.kind == "list":
            usual = st.lists(usual, max_size=2).map(lambda each: f"[{','.join(each)}]")
    elif field.kind != "list":
        usual = st.sampled_from(export_rows._USUAL[field.kind])
    return usual | _ODD


def _records(shape: ColumnShape, batch: RowBatch) -> list[dict[str, object]]:
    records: list[dict[str, object]] = [
        {
            **{
                column.name: cells[n]
                for column, cells in zip(shape.columns, batch.values, strict=True)
            },
            "_exact": batch.exact[n],
            "_extra": batch.extra[n],
        }
        for n in range(batch.size)
    ]
    for nested, elements in zip(shape.lists, batch.lists, strict=True):
        inside = iter(_records(nested.shape, elements.batch))
        for record, count in zip(records, elements.counts, strict=True):
            record[nested.name] = None if count is None else [next(inside) for _ in range(count)]
    return records


@settings(max_examples=examples(100), deadline=None)
@given(
    st.lists(_objects(export_rows.FIELDS), max_size=4),
    st.integers(1, 3),
    st.booleans(),
    st.booleans(),
    _STORAGES,
)
def test_columns_and_extra_hold_all_that_was_sent(
    texts: list[str], times: int, lists: bool, lists_of_texts: bool, storage: NumberStorage
) -> None:
    shape = shape_of(export_rows.FIELDS, lists=lists, texts=lists_of_texts)
    rows = [text.encode() for text in texts] * times  # what is alike in all rows is decoded once
    batch = ColumnReader(shape, storage).read(b"".join(map(line, rows)))
    for row, record in zip(rows, _records(shape, batch), strict=True):
        said, held = export_rows.sent(row), export_rows.kept(shape, record)
        assert export_rows.same(said, held), (said, held)


@settings(max_examples=examples(40), deadline=None)
@given(st.lists(_objects(export_rows.FIELDS), min_size=2, max_size=4))
def test_a_row_comes_out_the_same_whatever_comes_with_it(texts: list[str]) -> None:
    shape = shape_of(export_rows.FIELDS)
    rows = [text.encode() for text in texts]
    together = _records(shape, ColumnReader(shape).read(b"".join(map(line, rows))))
    assert together == [_records(shape, ColumnReader(shape).read(line(row)))[0] for row in rows]


@given(
    st.lists(st.decimals(allow_nan=False, allow_infinity=False) | _MONEY, min_size=1, max_size=4),
    _STORAGES,
    st.sampled_from(("decimal", "exchange_rate")),
)
def test_a_number_is_in_its_column_or_its_digits_are_exact(
    numbers: list[Decimal], storage: NumberStorage, kind: Literal["decimal", "exchange_rate"]
) -> None:
    cells, misfits, exact = coerce(
        kind, [msgspec.Raw(str(one).encode()) for one in numbers], storage
    )
    for place, (number, cell) in enumerate(zip(numbers, cells, strict=True)):
        held = None if cell is None else Decimal(cell if isinstance(cell, str) else repr(cell))
        if storage == "digits":
            assert held == number or place in misfits
        elif held == number:
            assert place not in exact
        else:
            assert Decimal(exact[place]) == number
        if storage == "double":
            assert not isinstance(cell, float) or cell == float(number)
            assert not isinstance(cell, int) or -(2**63) <= cell < 2**63
            assert cell is not None or abs(number) > 10**308
        if storage == "decimal" and held is not None:
            scale = 9 if kind == "exchange_rate" else 6
            assert abs(held) < 10 ** (38 - scale)
            if number == number.quantize(Decimal(1).scaleb(-scale), context=Context(prec=99)):
                assert held == number
            assert abs(held - number) <= Decimal(5).scaleb(-scale - 1)
    assert storage == "digits" or not misfits
