"""The share of values of the live service that typed fields hold."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest

from zoho_async.books import contacts, projects
from zoho_async.description import load
from zoho_async.operation import ListOperation, Operation
from zoho_async.wire import Decoder, Record

RECORDED = Path(__file__).parents[3] / "shared" / "reference" / "recorded" / "books"
EXCHANGES = sorted(RECORDED.glob("*.json"))

pytestmark = pytest.mark.skipif(
    not EXCHANGES, reason=f"the recorded exchanges are not next to this clone ({RECORDED})"
)

#: The least share of values in typed fields, in percent. Raise it, never lower it.
LEAST = {"Contact": 100.0, "Project": 100.0}


def operation_of(method: str, path: str) -> Operation[Any] | ListOperation[Any]:
    """The operation that answers a request, found by the packed description."""
    fits = [
        each
        for each in load().operations
        if each.method == method and re.fullmatch(re.sub(r"{[^}]+}", "[^/]+", each.path), path)
    ]
    facts = min(fits, key=lambda each: each.path.count("{"))
    home = {"books.contacts": contacts, "books.projects": projects}[facts.resource]
    verb = facts.name.rpartition(".")[2]
    found: Operation[Any] | ListOperation[Any] = vars(home)[f"_{verb.upper()}"]
    return found


def values(sent: object) -> int:
    """Count the values in a piece of JSON, without blanks."""
    if isinstance(sent, dict):
        return sum(values(each) for each in sent.values())
    if isinstance(sent, list):
        return sum(values(each) for each in sent)
    return sent not in ("", None)


def exchanges() -> list[tuple[Operation[Any] | ListOperation[Any], dict[str, Any]]]:
    found: list[tuple[Operation[Any] | ListOperation[Any], dict[str, Any]]] = []
    for file in EXCHANGES:
        exchange = json.loads(file.read_text(encoding="utf-8"))
        path = re.fullmatch(r"https://www\.zohoapis\.com/books/v3([^?]*)(\?.*)?", exchange["uri"])
        if path is not None:
            found.append((operation_of(exchange["method"], path.group(1)), exchange["response"]))
    return found


def records(
    operation: Operation[Any] | ListOperation[Any], response: dict[str, Any], decoder: Decoder
) -> list[tuple[Record, Any]]:
    """The records of a reply, each with its JSON."""
    body = json.dumps(response).encode()
    if isinstance(operation, ListOperation):
        rows = decoder.page(operation, body).rows
        return list(zip(rows, response[operation.key], strict=True))
    sent = response[operation.key] if operation.key else {}
    return [(decoder.value(operation, body), sent)]


def test_the_share_of_values_in_typed_fields_does_not_fall(
    record_property: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    decoder = Decoder()
    sent, beyond = Counter[str](), Counter[str]()
    for operation, response in exchanges():
        for record, value in records(operation, response, decoder):
            sent[type(record).__name__] += values(value)
            beyond[type(record).__name__] += values(record.extra)
    shares = {name: 100 * (1 - beyond[name] / sent[name]) for name in LEAST}
    with capsys.disabled():
        for name, share in shares.items():
            record_property(name, share)
            print(
                f"\n{name}: {share:.1f} % of {sent[name]} recorded values in typed fields", end=""
            )
    assert all(share >= LEAST[name] for name, share in shares.items())


def test_no_recorded_value_drifts_from_its_type() -> None:
    decoder = Decoder()
    for operation, response in exchanges():
        records(operation, response, decoder)
    assert dict(decoder.drift) == {}


def test_every_recorded_exchange_has_a_function() -> None:
    assert len(exchanges()) == len(EXCHANGES) - len(list(RECORDED.glob("*-00.json")))


def test_fields_have_the_order_in_which_lists_send_them() -> None:
    rows = [
        (operation.row, row)
        for operation, reply in exchanges()
        if isinstance(operation, ListOperation)
        for row in reply[operation.key]
    ]
    assert rows
    for struct, row in rows:
        names: list[str] = [field.encode_name for field in msgspec.structs.fields(struct)]
        places = [names.index(name) for name in row]
        assert places == sorted(places)
