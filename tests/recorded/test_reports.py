"""Every report of the reference: its sample decodes, and no value of it is lost."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest

from zoho_async.books.reports import REPORTS as BOOKS
from zoho_async.inventory.reports import REPORTS as INVENTORY
from zoho_async.reports import ReportOperation, ReportOptions, ReportTree
from zoho_async.reports.request import checked, report_request
from zoho_async.reports.tree import joined_sections
from zoho_async.wire import Decoder, encode
from zoho_async.wire.text import is_array, is_object

REFERENCE = Path(__file__).parents[3] / "shared" / "reference" / "undescribed" / "reports.json"
ROWS: list[dict[str, Any]] = json.loads(REFERENCE.read_text()) if REFERENCE.is_file() else []
PATHS = {
    f"{operation.product.base_path}{operation.path}": operation
    for reports in (BOOKS, INVENTORY)
    for operation in reports.values()
}
SAMPLES = [row for row in ROWS if row["sample"]]
TREES = [row for row in SAMPLES if PATHS[row["path"]].tree]

pytestmark = pytest.mark.skipif(
    not ROWS, reason=f"the reports of the reference are not next to this clone ({REFERENCE})"
)

#: Fields that only say how the web application draws a report.
_DRAWING = {
    *("previous_values", "previous_total", "previous_total_sub_account"),
    *("account_type_col_span", "account_type_col_span_list"),
}
_TYPES = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": int | float,
    "boolean": bool,
    "null": type(None),
}


def faults(schema: dict[str, Any], value: Any, known: dict[str, Any], path: str) -> Iterator[str]:
    """What of ``value`` does not fit a JSON Schema, as far as the reference uses it."""
    if "$ref" in schema:
        schema = known[schema["$ref"].rpartition("/")[2]]
    if "anyOf" in schema:
        if all(list(faults(each, value, known, path)) for each in schema["anyOf"]):
            yield f"{path} fits none of its forms"
        return
    if "const" in schema and value != schema["const"]:
        yield f"{path} is not {schema['const']!r}"
    given = schema.get("type", [])
    types: list[str] = cast(list[str], given) if isinstance(given, list) else [given]
    if types and not any(isinstance(value, _TYPES[each]) for each in types):
        yield f"{path} is {value!r}, not {types}"
    if is_object(value):
        yield from (
            f"{path}.{name} is missing" for name in schema.get("required", []) if name not in value
        )
        for name, each in value.items():
            if name in schema.get("properties", {}):
                yield from faults(schema["properties"][name], each, known, f"{path}.{name}")
    if is_array(value) and "items" in schema:
        for each in value:
            yield from faults(schema["items"], each, known, f"{path}[]")


def operation_of(row: dict[str, Any]) -> ReportOperation[Any]:
    return PATHS[row["path"]]


def requested(row: dict[str, Any]) -> ReportOptions:
    """The options that the sample of ``row`` answers."""
    operation, context = operation_of(row), row["sample"]["page_context"]
    days = {
        name: dt.date.fromisoformat(context[name])
        for name in ("from_date", "to_date", "as_of_date")
        if context.get(name)
    }
    if not days or operation.dates == "none" or "Today" in context.get("applied_filter", ""):
        return ReportOptions()
    if operation.dates == "day":
        return ReportOptions(to_date=days.get("as_of_date", days.get("to_date")))
    return ReportOptions(from_date=days["from_date"], to_date=days["to_date"])


def scalars(value: Any, name: str = "") -> list[tuple[str, str]]:
    """The values at any depth with the names of their fields, without blanks."""
    if is_object(value):
        return [pair for key, each in value.items() for pair in scalars(each, key)]
    if is_array(value):
        return [pair for each in value for pair in scalars(each, name)]
    return [] if value in ("", None) else [(name, str(value))]


def test_every_report_of_the_reference_is_an_operation() -> None:
    ours = [row for row in ROWS if row["status"] != "in the official set"]
    assert {row["path"] for row in ours} == PATHS.keys()
    assert {row["scope"] for row in ours} == {each.scope for each in PATHS.values()}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["path"])
def test_the_filter_field_is_that_of_the_reference(row: dict[str, Any]) -> None:
    if row["status"] != "in the official set":
        values = [each["values"] for each in row["params"] if each["name"] == "filter_by"]
        named = (row["filter_field"] or "").partition(" ")[0]
        offered = values[0][0].partition(".")[0] if values else ""
        field = named or offered
        assert operation_of(row).date_filter == field
        assert operation_of(row).key == (row["key"] or "rows")


@pytest.mark.parametrize("row", SAMPLES, ids=lambda row: row["path"])
def test_a_sample_is_valid_and_decodes_with_all_its_values(row: dict[str, Any]) -> None:
    sample = row["sample"]
    assert list(faults(row["shape"], sample, row["shape"]["$defs"], "reply")) == []
    operation = operation_of(row)
    request = report_request(operation, requested(row), {})
    page = Decoder(strict=True).page(operation, checked(request, json.dumps(sample).encode()).body)
    assert page.rows
    for record in page.rows:
        assert {name for name, _ in scalars(record.extra)} <= _DRAWING, "a value has no field"
    sent = scalars(sample[row["key"]])
    if not operation.groups:  # else the values of the groups around the rows are left out
        found = scalars(json.loads(encode(page.rows)))
        assert sorted(found) == sorted(each for each in sent if each[0] not in _DRAWING)


@pytest.mark.parametrize("row", TREES, ids=lambda row: row["path"])
def test_the_sections_of_a_sample_have_all_its_amounts(row: dict[str, Any]) -> None:
    operation = operation_of(row)
    request = report_request(operation, requested(row), {})
    body = checked(request, json.dumps(row["sample"]).encode()).body
    page = Decoder(strict=True).page(operation, body)
    tree = ReportTree(name="", periods=(), sections=joined_sections([page.rows]), pages=(page,))
    found = [
        str(amount)
        for line in tree.lines()
        for amount in (line.section.total, line.section.debit, line.section.credit)
        if amount is not None
    ]
    names = ("total", "net_debit_total", "net_credit_total")
    assert found == [str(Decimal(each)) for each in amounts(page.rows, names)]


def amounts(nodes: Any, names: tuple[str, ...]) -> Iterator[str]:
    """The amounts of nodes in their order, each once."""
    for node in nodes:
        nested = node.values[0] if node.values else None
        for name in names:
            value = getattr(node, name)
            value = getattr(nested, name, None) if value is None else value
            if value is not None:
                yield str(value)
        yield from amounts(node.account_transactions or [], names)
