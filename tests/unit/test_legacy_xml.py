"""Replies of the retired XML API are read by today's rules."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoho_async.legacy.xml import as_envelope
from zoho_async.wire import Unreadable

DOCUMENT = Path(__file__).parents[3] / "shared/reference/docs/zoho-invoice-legacy-xml.txt"

ITEMS = b"""<?xml version="1.0" encoding="UTF-8"?>
<Response status="1">
<Items uri="/api/items/">
<Item uri="/api/items/4000000002011"><ItemID>4000000002011</ItemID><Name>A &amp; B</Name>
<Rate>34.00</Rate><Tax2Name/><Tax2Percentage/></Item>
<Item uri="/api/items/4000000002005"><ItemID>4000000002005</ItemID><Name> Two </Name></Item>
</Items>
<PageContext Page="1" Per_Page="200" Total="2" Total_Pages="1"/>
</Response>"""


def read(body: bytes | str) -> Any:
    return json.loads(as_envelope(body.encode() if isinstance(body, str) else body))


def test_a_list_comes_with_its_rows_and_its_totals() -> None:
    assert read(ITEMS) == {
        "code": 0,
        "message": "",
        "Items": [
            {
                "uri": "/api/items/4000000002011",
                "ItemID": "4000000002011",
                "Name": "A & B",
                "Rate": "34.00",
                "Tax2Name": "",
                "Tax2Percentage": "",
            },
            {"uri": "/api/items/4000000002005", "ItemID": "4000000002005", "Name": "Two"},
        ],
        "Items@uri": "/api/items/",
        "page_context": {
            "page": 1,
            "per_page": 200,
            "total": 2,
            "total_pages": 1,
            "has_more_page": False,
        },
    }


@pytest.mark.skipif(not DOCUMENT.exists(), reason="the document is not here")
def test_the_samples_of_the_document_are_read() -> None:
    samples = [
        f"<Response{part.partition('</Response>')[0]}</Response>"
        for part in DOCUMENT.read_text("utf-8", "replace").split("<Response")[1:]
    ]
    refused, listed = [read(sample) for sample in samples]
    assert refused == {"code": 14, "message": "Invalid Ticket Passed"}
    assert [row["Rate"] for row in listed["Items"]] == ["34.00", "25.00"]
    assert listed["page_context"]["has_more_page"] is False


@pytest.mark.parametrize(
    ("body", "value"),
    [
        ("<Items><Item><Name>A</Name></Item></Items>", {"Items": [{"Name": "A"}]}),
        ("<Currencies><Currency/></Currencies>", {"Currencies": [""]}),
        ("<Taxes><Tax>PST</Tax></Taxes>", {"Taxes": ["PST"]}),
        ("<Items/>", {"Items": ""}),
        ("<Item><A>1</A><A>2</A><B/></Item>", {"Item": {"A": ["1", "2"], "B": ""}}),
        ("<Tax id='7'>PST</Tax>", {"Tax": "PST", "Tax@id": "7"}),
        ("<Note><![CDATA[<b>&]]></Note>", {"Note": "<b>&"}),
    ],
)
def test_elements_become_the_values_that_they_hold(body: str, value: dict[str, Any]) -> None:
    assert read(f'<Response status="1">{body}</Response>') == {"code": 0, "message": "", **value}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ('<Response status="0"><Code>14</Code><Message>No</Message></Response>', 14),
        ('<Response status="0"><Code>0</Code><Message>No</Message></Response>', -1),
        ('<Response status="0"><Message>No</Message></Response>', -1),
        ("<Response><Message>No</Message></Response>", -1),
        ('<Response status="0"><Code>14<Code><Message>No<Message></Response>', 14),
        ('<Response status="0"><Message>No', -1),
    ],
)
def test_a_reply_without_success_is_an_error(body: str, code: int) -> None:
    assert read(body) == {"code": code, "message": "No"}


BOMB = '<!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;">]><Response status="1">&c;</Response>'
OUTSIDE = (
    '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><Response status="1">&x;</Response>'
)


@pytest.mark.parametrize(
    "body",
    [
        *("", "null", "<html></html>", ITEMS[:-3].decode(), BOMB, OUTSIDE),
        "<a>" * 5000 + "</a>" * 5000,
        '<?xml version="1.0" encoding="shift_jis"?><Response status="1"/>',
        '<?xml version="1.0" encoding="none"?><Response status="1"/>',
    ],
)
def test_text_that_is_not_a_reply_is_refused(body: str) -> None:
    with pytest.raises(Unreadable):
        read(body)


def test_a_count_that_no_list_has_is_no_count() -> None:
    context = f'<PageContext Page="1" Total="{"9" * 5000}"/>'
    found = read(f'<Response status="1">{context}</Response>')["page_context"]
    assert found == {"page": 1}


@given(st.binary(max_size=200), st.integers(0, len(ITEMS)))
def test_damage_raises_or_does_no_harm(noise: bytes, place: int) -> None:
    try:
        reply = read(ITEMS[:place] + noise + ITEMS[place:])
    except Unreadable:
        return
    assert isinstance(reply["code"], int)
