"""Replies of the 2010 API, from XML to the JSON envelope that the rest of this package reads.

A reply is one ``<Response status="1">`` with the value and perhaps a ``<PageContext>`` in it, or
with ``status="0"`` a ``<Code>`` and a ``<Message>``. It is turned into the envelope of today's API
(``code``, ``message``, the value under its own name, ``page_context``), so that errors, blanks,
decimals, ids and pages go by the same rules, in the same code, as everything else.

- An element with elements in it is an object, one with text is that text, an empty one is ``""``:
  Zoho's blank. Nothing says what is a number, so nothing is guessed: types read numbers from text.
- A list is an element whose elements all have one name, if there are several or if the name is the
  singular of the list's (``Items`` of ``Item``). Elements that repeat beside others are a list
  under their own name.
- An object has its element's attributes as fields. Attributes of what is no object stand beside it
  as ``Name@attribute``.

Only elements, attributes and text are read: a document type, and with it any entity, is refused.
The sample error in Zoho's own document does not close its tags; its code and message are found all
the same, and what cannot be read is never taken for success.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Final, NoReturn, TypeAlias
from xml.parsers import expat

import msgspec

from zoho_async.wire import Unreadable

Value: TypeAlias = "str | dict[str, Value] | list[Value]"

#: What says no without saying a code of its own.
NO_CODE: Final = -1
_MAX_DEPTH: Final = 64
_FAILED: Final = re.compile(r"<Response\b[^>]*\bstatus\s*=\s*[\"']0[\"']")
_CODE: Final = re.compile(r"<Code>\s*(-?[0-9]{1,9})\b")
_MESSAGE: Final = re.compile(r"<Message>\s*([^<]*)")
_COUNTS: Final = {
    "Page": "page",
    "Per_Page": "per_page",
    "Total": "total",
    "Total_Pages": "total_pages",
}


class Element:
    """One element while it is read."""

    __slots__ = ("attributes", "children", "name", "text")

    def __init__(self, name: str, attributes: dict[str, str]) -> None:
        self.name: Final = name
        self.attributes: Final = attributes
        self.children: list[Element] = []
        self.text = ""


def as_envelope(body: bytes) -> bytes:
    """The JSON envelope of an XML reply. Raises `Unreadable` for what is none."""
    try:
        response = parse(body)
    except Unreadable:
        refusal = _error_in_broken_xml(body)
        if refusal is None:
            raise
        return msgspec.json.encode(refusal)
    if response.name != "Response":
        raise Unreadable(f"the reply is a <{response.name[:40]}>, not a <Response>")
    return msgspec.json.encode(_envelope(response))


def parse(body: bytes) -> Element:
    """The root element of ``body``. Raises `Unreadable` for broken XML and for a document type."""
    root = Element("", {})
    path = [root]

    def start(name: str, attributes: dict[str, str]) -> None:
        if len(path) > _MAX_DEPTH:
            raise Unreadable("the reply is nested too deeply")
        element = Element(name, attributes)
        path[-1].children.append(element)
        path.append(element)

    def end(_: str) -> None:
        path.pop()

    def text(data: str) -> None:
        path[-1].text += data

    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text
    parser.StartDoctypeDeclHandler = _refuse_doctype
    try:
        parser.Parse(body.strip(), True)
    except expat.ExpatError as problem:
        raise Unreadable(f"the reply is no whole XML: {expat.ErrorString(problem.code)}") from None
    except LookupError as problem:
        raise Unreadable(f"the reply is XML in an encoding that is not known: {problem}") from None
    return root.children[0]


def _refuse_doctype(*_: object) -> NoReturn:
    raise Unreadable("the reply declares a document type, which no reply of Zoho does")


def _envelope(response: Element) -> dict[str, object]:
    context = next((each for each in response.children if each.name == "PageContext"), None)
    if context is not None:
        response.children.remove(context)
    value = _object(response)
    if value.pop("status", None) != "1":
        code, message = value.pop("Code", ""), value.pop("Message", "")
        return {"code": _number(code), "message": str(message), **value}
    envelope: dict[str, object] = {"code": 0, "message": "", **value}
    if context is not None:
        envelope["page_context"] = _page_context(context.attributes)
    return envelope


def _page_context(attributes: dict[str, str]) -> dict[str, object]:
    counts = {
        ours: int(attributes[theirs])
        for theirs, ours in _COUNTS.items()
        if attributes.get(theirs, "").isdecimal()
    }
    fields: dict[str, object] = {
        name: text for name, text in attributes.items() if name not in _COUNTS
    }
    fields |= counts
    if "total_pages" in counts:
        fields["has_more_page"] = counts.get("page", 1) < counts["total_pages"]
    return fields


def _value(element: Element) -> Value:
    if not element.children:
        return element.text.strip()
    if _is_list(element):
        return [_value(child) for child in element.children]
    return _object(element)


def _object(element: Element) -> dict[str, Value]:
    fields: dict[str, Value] = dict(element.attributes)
    if text := element.text.strip():
        fields["#text"] = text
    times = Counter(child.name for child in element.children)
    for child in element.children:
        value = _value(child)
        if times[child.name] > 1:
            several = fields.setdefault(child.name, [])
            if isinstance(several, list):
                several.append(value)
        else:
            fields[child.name] = value
        if not isinstance(value, dict):
            fields |= {f"{child.name}@{name}": text for name, text in child.attributes.items()}
    return fields


def _is_list(element: Element) -> bool:
    names = {child.name for child in element.children}
    if len(names) != 1:
        return False
    return len(element.children) > 1 or element.name in _plurals(names.pop())


def _plurals(name: str) -> tuple[str, ...]:
    return (f"{name}s", f"{name}es", f"{name[:-1]}ies", f"{name}List")


def _error_in_broken_xml(body: bytes) -> dict[str, object] | None:
    """The refusal in a reply that is no whole XML, as in the document's own sample."""
    text = body.decode("utf-8", "replace")
    if not _FAILED.search(text):
        return None
    code, message = _CODE.search(text), _MESSAGE.search(text)
    return {
        "code": _number(code[1] if code else ""),
        "message": message[1].strip() if message else "",
    }


def _number(code: Value) -> int:
    """A refusal's code; never 0, which would be success."""
    digits = isinstance(code, str) and re.fullmatch(r"-?[0-9]{1,9}", code.strip())
    return (int(digits[0]) if digits else NO_CODE) or NO_CODE
