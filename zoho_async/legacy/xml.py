"""Convert XML replies of the 2010 API to the JSON envelope of the current API.

A reply is one ``<Response>``. With ``status="1"`` it contains the value and perhaps a
``<PageContext>``; with ``status="0"`` a ``<Code>`` and a ``<Message>``. It is converted to the
current envelope (``code``, ``message``, the value under its name, ``page_context``), so the same
code handles errors, blanks, decimals, ids and pages.

- An element with child elements is an object. An element with text is that text. An empty element
  is ``""``, Zoho's blank. Numbers stay text, and the described types parse them.
- An element is a list if all its children have one name, and there are several of them or the name
  is the singular of the list's name (``Items`` of ``Item``). Elements that repeat among others
  become a list under their name.
- The attributes of an object are fields of it. Attributes of other elements are fields of the
  parent, named ``Name@attribute``.

Only elements, attributes and text are read. A document type, and so any entity, is refused. The
sample error in Zoho's documentation does not close its tags; its code and message are read anyway.
An unreadable reply is never treated as success.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Final, NoReturn, TypeAlias
from xml.parsers import expat

import msgspec

from zoho_async.wire import Unreadable

Value: TypeAlias = "str | dict[str, Value] | list[Value]"

#: The code of an error reply without a code.
NO_CODE: Final = -1
_MAX_DEPTH: Final = 64
_FAILED: Final = re.compile(r"<Response\b[^>]*\bstatus\s*=\s*[\"']0[\"']")
_CODE: Final = re.compile(r"<Code>\s*(-?[0-9]{1,9})\b")
_MESSAGE: Final = re.compile(r"<Message>\s*([^<]*)")
_COUNT: Final = re.compile(r"[0-9]{1,18}")
_COUNTS: Final = {
    "Page": "page",
    "Per_Page": "per_page",
    "Total": "total",
    "Total_Pages": "total_pages",
}


class Element:
    """An element during parsing."""

    __slots__ = ("attributes", "children", "name", "text")

    def __init__(self, name: str, attributes: dict[str, str]) -> None:
        self.name: Final = name
        self.attributes: Final = attributes
        self.children: list[Element] = []
        self.text = ""


def as_envelope(body: bytes) -> bytes:
    """Convert an XML reply to a JSON envelope. Raises `Unreadable` for other text."""
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
        raise Unreadable(f"the reply is not valid XML: {expat.ErrorString(problem.code)}") from None
    except Unreadable:
        raise
    except (LookupError, ValueError) as problem:  # expat knows no encodings of several bytes
        raise Unreadable(f"the reply is XML in an unknown encoding: {problem}") from None
    return root.children[0]


def _refuse_doctype(*_: object) -> NoReturn:
    raise Unreadable("the reply declares a document type, which Zoho never does")


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
        if _COUNT.fullmatch(attributes.get(theirs, ""))
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
    """The error in a reply of broken XML, such as the sample in Zoho's documentation."""
    text = body.decode("utf-8", "replace")
    if not _FAILED.search(text):
        return None
    code, message = _CODE.search(text), _MESSAGE.search(text)
    return {
        "code": _number(code[1] if code else ""),
        "message": message[1].strip() if message else "",
    }


def _number(code: Value) -> int:
    """The code of an error; never 0, which would mean success."""
    digits = isinstance(code, str) and re.fullmatch(r"-?[0-9]{1,9}", code.strip())
    return (int(digits[0]) if digits else NO_CODE) or NO_CODE
