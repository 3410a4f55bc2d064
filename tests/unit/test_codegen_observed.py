"""Operations that are in no OpenAPI file enter through the same files as all others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from zoho_async import description
from zoho_async.codegen import distill, generate, observed, spec
from zoho_async.codegen.model import build
from zoho_async.codegen.overrides import Overrides
from zoho_async.codegen.spec import CallSpec, Node, Source

NODE: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "total": {"anyOf": [{"type": "number"}, {"const": ""}]},
        "account_id": {"type": ["string", "null"]},
        "flag": {"type": ["string", "boolean"]},
        "rows": {"type": "array", "items": {"$ref": "#/$defs/node"}},
    },
    "required": ["name"],
}
ROW: dict[str, Any] = {
    "product": "books",
    "method": "GET",
    "path": "/books/v3/reports/trialbalance",
    "title": "Trial balance (new)",
    "scope": "ZohoBooks.reports.READ",
    "params": [
        {"name": "organization_id", "type": "string", "values": None, "required": True},
        {"name": "from_date", "type": "date", "values": None, "required": False},
        {"name": "sort_order", "type": "string", "values": ["A", "D"], "required": False},
        {"name": "rule", "type": "JSON text", "values": None, "required": False},
    ],
    "shape": {
        "type": "object",
        "properties": {"rows": {"type": "array", "items": {"$ref": "#/$defs/node"}}},
        "$defs": {"node": NODE},
    },
    "sample": {"rows": [{"name": "Sales", "total": 1.5, "account_id": "90000000000000011"}]},
    "evidence": ["index id 70293585814: live trial", "index ids 1234, 567", "live trial"],
    "confidence": "H",
    "shape_confidence": "M",
    "status": "seen",
}


def reference(folder: Path, *rows: dict[str, Any]) -> Path:
    (folder / "undescribed").mkdir()
    (folder / "undescribed" / "reports.json").write_text(json.dumps(rows), "utf-8")
    return folder


def test_a_report_becomes_a_call_like_any_other(tmp_path: Path) -> None:
    source = distill.read(reference(tmp_path, ROW), "books", "reports")
    (call,) = source.calls
    assert source.is_observed
    assert (call.id, call.path, call.organization) == (
        "trial_balance",
        "/reports/trialbalance",
        True,
    )
    assert (call.evidence, call.confidence) == ("live trial; a client", "M")
    assert call.query == (
        Node(name="from_date", type="string", format="date"),
        Node(name="sort_order", type="string", allowed=("A", "D")),
        Node(name="rule", type="string"),
    )
    (rows,) = source.objects[call.reply[0].node.object]
    assert rows.items is not None
    assert source.objects[rows.items.object] == (
        Node(name="name", type="string", looks="text", required=True),
        Node(name="total", type="number", looks="decimal"),
        Node(name="account_id", type="string", looks="digits"),
        Node(name="flag"),
        Node(name="rows", type="array", items=Node(type="object")),
    )


def test_what_an_official_file_has_is_left_to_that_file(tmp_path: Path) -> None:
    folder = reference(tmp_path, {**ROW, "status": "in the official set"})
    assert observed.resources(folder, "books") == []
    assert observed.resources(tmp_path / "nowhere", "books") == []


def test_a_described_call_stays_instead_of_an_observed_one() -> None:
    call = CallSpec(id="list_things", method="GET", path="/things")
    ours = msgspec.structs.replace(call, evidence="seen", confidence="L")
    sources = [
        Source(product="books", resource="aaa", calls=(ours,), objects={}),
        Source(product="books", resource="things", calls=(call,), objects={}),
    ]
    model = build("books", sources, Overrides.read())
    assert [function.call.evidence for function in model.functions()] == [""]


def test_every_observed_call_has_evidence_and_confidence() -> None:
    for product in generate.PRODUCTS:
        for source in spec.load(product):
            for call in source.calls:
                assert bool(call.evidence) == (call.confidence in {"H", "M", "L"})
                assert bool(call.evidence) == source.is_observed


def test_operations_show_evidence_and_confidence() -> None:
    found = {each.name: each for each in description.operations("books")}
    report = found["books.reports.profit_and_loss"]
    assert report.confidence == "H"
    assert "live trial" in report.evidence
    invoices = found["books.invoices.list"]
    assert (invoices.evidence, invoices.confidence) == ("", "")


@pytest.mark.parametrize("sure", ["medium", "low"])
def test_a_docstring_says_how_sure_an_observed_operation_is(sure: str) -> None:
    from zoho_async.books import reports

    said = {"medium": reports.journal, "low": reports.receivable_summary}[sure].__doc__ or ""
    said = " ".join(said.split())
    assert f"Confidence: {sure}." in said
    assert ("try it before you rely on it" in said) == (sure == "low")


def test_the_readme_counts_described_and_observed_operations_apart() -> None:
    every = [each for product in generate.PRODUCTS for each in description.operations(product)]
    observed_ones = sum(bool(each.evidence) for each in every)
    said = " ".join(generate.README.read_text("utf-8").split())
    counted = (
        f"All {len(every) - observed_ones:,} operations that Zoho describes, and {observed_ones}"
    )
    assert f"{counted} that are only observed" in said
    books = sum(bool(each.evidence) and each.product == "books" for each in every)
    assert f"| Books v3 | 838 | {books} |" in said
