"""The known differences from the description, each with a name, and where each was used.

A proof can only forgive a difference with `Patches.use` and one of the names below. Any other
difference is a problem, and a problem fails the proof.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

#: name: the description's version and the real one.
KNOWN: Final[dict[str, str]] = {
    # deliberate behavior of the client
    "organization by the session": "organization_id is added by the session, not by the caller",
    "always sent": "a parameter with one sensible value is sent by the function itself",
    "correction: parameter dropped": "overrides drop it, with their reason",
    "correction: parameter added": "overrides add it, with their reason",
    "correction: answer": "overrides change the form of the reply, with their reason",
    "correction: form": "overrides send the JSON in a field of a form, with their reason",
    "correction: type": "overrides give the field another type, with their reason",
    "correction: scope": "overrides give another scope, with their reason",
    "a function for each form": "one operation returns a record or a document, by a parameter",
    "undescribed body": "the description has no body where the operation needs one",
    "filled in from Books": "the page has fewer parameters than the same resource of Books",
    "described twice on the page": "the same call again, with a reply of another shape",
    "the page is cut off": "the page ends within an operation, which has no reply then",
    # habits of the description
    "file in the query": "files are described as parameters of the query and sent as multipart",
    "form field in the query": "a form field, described elsewhere as a query parameter",
    "JSON in a form with a file": "JSON is sent as JSONString where a file is sent too",
    "paging not declared": "lists page whether or not the description says so",
    "variant in prose": "the description of another parameter names it",
    "declared in another file": "two files describe the operation, the other one in more detail",
    "id is no number": "ids are sent as text, whatever type is described",
    "number described as text": "amounts, rates and counts are numbers",
    "amount described as a count": "amounts and quantities have decimals",
    "text described as number": "a number in the description that is really text",
    "truth described as text": "true and false are booleans",
    "list described as text": "several values joined by commas",
    "allowed in prose": "a value that the prose allows and the enum does not have",
    "page_context in another shape": "one object in reality, described as a list",
    "page_context with one record": "copied from a list into the reply for one record",
    "in the path already": "a parameter of the query that is in the path too",
    "document as code and message": "the answer is a file; only code and message are described",
    "rows as one object": "lists return lists, whatever the description says",
    "a record as a list": "one record is an object, whatever the description says",
    # its examples
    "example: of another record": "the reply's example has another id than the request's",
    "example: blank": "an empty example, replaced by a value of the type",
    "example: none": "no example, replaced by a value of the type",
    "example: of another type": "an example that its own schema refuses; it is repaired",
    "example: not of the allowed values": "an example that its own prose refuses",
    "example: day as a moment": "2013-11-18T00:00:00.000Z for a day, which is 2013-11-18",
    "example: percentage": "70% for a number",
    "example: of another field": "an amount with the example of a text field",
    "example: one for a list": "one value where a list is described",
    # replies
    "reply: as on the page": "Invoice's page shows the fields where Books' file has an object",
    "reply: Books and the page differ": "one name or type on the page, another in Books' file",
    "reply: changed is 200": "an update returns 200; the description says 201 in one place",
    "reply: outcomes": "bulk operations return rows of outcomes, described or not",
    "reply: a count of nothing": "0 for unknown, though the description counts from 1",
    "reply: made is 201": "creating a record returns 201, whatever the description says",
    "reply: blank is nothing": "blanks read as None",
    "reply: number as text": "numbers that came as text read as numbers",
    "reply: number is an id": "ids that came as numbers read as text",
    "reply: percentage": "a percentage with its sign, in a field that allows it",
    "reply: truth as text": "booleans that came as text",
    "reply: contradicts its type": "a value that its own schema refuses is kept in extra",
    "reply: no such moment": "a time that no calendar has, one without its offset, or a day",
    "reply: beyond the fields": "a value without a typed field is kept in extra",
}


class Patches:
    """The patches that a proof has used."""

    def __init__(self) -> None:
        self.used: Counter[str] = Counter()

    def use(self, name: str) -> None:
        if name not in KNOWN:
            raise KeyError(f"no patch is called {name!r}")
        self.used[name] += 1
