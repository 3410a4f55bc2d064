"""Make the bodies of requests from the rows of a file, and find every wrong cell.

Each row is one document. With ``group_by``, the rows that have the same value in that column are
one document: their lines are collected in order, and their other fields must agree.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from zoho_async.description import Field
from zoho_async.importer.files import ImportSource, SourceRow
from zoho_async.importer.lookups import Lookups, is_lookup
from zoho_async.importer.mapping import ColumnMapping, Place
from zoho_async.importer.values import WrongCell, converted, is_empty, shown
from zoho_async.wire.encode import encode
from zoho_async.wire.text import is_array, is_object


class CellProblem(msgspec.Struct, frozen=True):
    """What is wrong with a cell. ``column`` is "" if it is the whole row."""

    row: int
    column: str
    problem: str

    def __str__(self) -> str:
        where = f"row {self.row}" + (f", column {self.column}" if self.column else "")
        return f"{where}: {self.problem}"


class RowDocument(msgspec.Struct, frozen=True):
    """One record to write, and the rows that it comes from. ``content`` is the body's digest."""

    rows: tuple[int, ...]
    body: dict[str, Any]
    content: str


def wanted_names(source: ImportSource, mapping: ColumnMapping) -> dict[str, list[Any]]:
    """Return the values of the columns that may name records, by field."""
    wanted: dict[str, list[Any]] = {}
    for column, place in mapping.places.items():
        if is_lookup(place.field.name):
            cells = [row.cells.get(column) for row in source.rows]
            found = [cell for cell in cells if not is_empty(cell)]
            if found:
                wanted.setdefault(place.field.name, []).extend(found)
    return wanted


def documents_of(
    source: ImportSource, mapping: ColumnMapping, lookups: Lookups, group_by: str | None
) -> tuple[list[RowDocument], list[CellProblem]]:
    """Return the documents of all rows that have no problem, and all problems."""
    problems: list[CellProblem] = []
    groups: dict[object, list[tuple[SourceRow, dict[str, Any]]]] = {}
    wrong: set[object] = set()
    for row in source.rows:
        key: object = row.number
        if group_by is not None:
            cell = row.cells.get(group_by)
            if is_empty(cell):
                problems.append(CellProblem(row.number, group_by, "is empty, but names a document"))
                continue
            key = str(cell).strip()
        body, found = _row_body(row, mapping, lookups)
        if found:
            wrong.add(key)
        problems += found
        groups.setdefault(key, []).append((row, body))
    documents: list[RowDocument] = []
    for key, members in groups.items():
        if key in wrong:
            continue
        body, found = _merged(members, mapping)
        problems += found
        if not found:
            rows = tuple(row.number for row, _ in members)
            documents.append(RowDocument(rows, body, hashlib.sha256(encode(body)).hexdigest()))
    return documents, problems


def rows_together(source: ImportSource, group_by: str | None) -> dict[int, list[int]]:
    """Return the rows of the same document by each row; {} if each row is one document."""
    if group_by is None:
        return {}
    groups: dict[str, list[int]] = {}
    for row in source.rows:
        groups.setdefault(str(row.cells.get(group_by) or "").strip(), []).append(row.number)
    return {row: rows for key, rows in groups.items() if key for row in rows}


def missing_fields(body: Mapping[str, Any], fields: Sequence[Field]) -> list[str]:
    """Return the required ``fields`` that ``body`` has at no depth.

    Some descriptions list a required field of a line at the top.
    """
    return [field.name for field in fields if field.required and not _has(body, field.name)]


def _has(value: Any, name: str) -> bool:
    if is_object(value):
        return value.get(name) not in (None, "", []) or any(
            _has(each, name) for each in value.values()
        )
    return is_array(value) and any(_has(each, name) for each in value)


def _row_body(
    row: SourceRow, mapping: ColumnMapping, lookups: Lookups
) -> tuple[dict[str, Any], list[CellProblem]]:
    """The body of one row, with a list of one element for each list that it fills."""
    if row.problem:
        return {}, [CellProblem(row.number, "", row.problem)]
    body: dict[str, Any] = {}
    problems: list[CellProblem] = []
    for column, value in row.cells.items():
        place = mapping.places.get(column)
        if is_empty(value):
            continue
        if place is None:
            if mapping.names.get(column) is None:
                problems.append(CellProblem(row.number, column, "is not in the mapping"))
            continue
        try:
            name = place.field.name
            found = lookups.find(name, value) if is_lookup(name) else value
            _put(body, place, converted(place.field, found))
        except WrongCell as problem:
            problems.append(CellProblem(row.number, column, str(problem)))
    if not body and not problems:
        problems.append(CellProblem(row.number, "", "has no value in a mapped column"))
    return body, problems


def _put(body: dict[str, Any], place: Place, value: Any) -> None:
    if place.outer == "custom_fields":
        body.setdefault("custom_fields", []).append({"api_name": place.field.name, "value": value})
    elif not place.outer:
        body[place.field.name] = value
    elif place.in_list:
        body.setdefault(place.outer, [{}])[0][place.field.name] = value
    else:
        body.setdefault(place.outer, {})[place.field.name] = value


def _merged(
    members: Sequence[tuple[SourceRow, dict[str, Any]]], mapping: ColumnMapping
) -> tuple[dict[str, Any], list[CellProblem]]:
    """One body of all rows of a document."""
    lists = _lists(mapping.places.values())
    (first, head), *others = members
    body: dict[str, Any] = dict(head)
    problems: list[CellProblem] = []
    for row, more in others:
        for name, value in more.items():
            if name in lists:
                body[name] = [*body.get(name, ()), *value]
            elif name not in body:
                body[name] = value
            elif body[name] != value:
                problems.append(
                    CellProblem(
                        row.number,
                        _column_of(mapping, name, row, first),
                        f"is {shown(value)}, but row {first.number} of the same document has "
                        f"{shown(body[name])}",
                    )
                )
    return body, problems


def _lists(places: Iterable[Place]) -> set[str]:
    return {place.outer for place in places if place.in_list and place.outer != "custom_fields"}


def _column_of(mapping: ColumnMapping, name: str, row: SourceRow, first: SourceRow) -> str:
    """The column in which two rows of a document differ."""
    columns = [
        column for column, place in mapping.places.items() if name in (place.outer, place.name)
    ]
    differ = [one for one in columns if row.cells.get(one) != first.cells.get(one)]
    return (differ or columns or [name])[0]
