"""Convert the documentation page of Zoho Invoice into descriptions that `distill` reads.

Invoice has no OpenAPI file. Its page gives each operation as text: a title, a sentence, the scope,
method and path, examples of request and reply, and lists of arguments. The facts of the page are
merged with those of the same operation in the Books file. Operations and scopes come from the page,
types from Books, and fields from both.

The page ends within Expenses. Later resources take the operations of ``invoice-surface.csv``, which
come from an older Books. They are marked as unconfirmed.
"""

from __future__ import annotations

import csv
import functools
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias, cast

from zoho_async.wire.text import is_array

Json: TypeAlias = dict[str, Any]

#: The Books file that describes the operations below a path.
FILES: Final = {
    "clientreviews": "contacts",
    "contact": "contacts",
    "contacts": "contacts",
    "creditnotes": "credit-notes",
    "customerpayments": "customer-payments",
    "estimates": "estimates",
    "expenses": "expenses",
    "invoices": "invoices",
    "items": "items",
    "pricebooks": "pricelists",
    "recurringinvoices": "recurring-invoices",
    "retainerinvoices": "retainer-invoices",
}
#: The files of ``invoice-surface.csv`` after the end of the page.
UNCONFIRMED: Final = (
    "currency",
    "expenses",
    "projects",
    "recurring-expenses",
    "tasks",
    "taxes",
    "time-entries",
    "users",
)
#: Files of ``invoice-surface.csv`` whose operations Books describes in another file now.
_ELSEWHERE: Final = {"tasks": "projects"}
_PAGE: Final = "docs/zoho-invoice-v3.txt"
_BILLING_PAGE: Final = "docs/zoho-billing-v1-invoices.txt"
_SURFACE: Final = "invoice-surface.csv"
_CALL: Final = re.compile(r"(GET|POST|PUT|DELETE) (/\S+)")
_REPLY: Final = re.compile(r"HTTP/1\.1 (\d+).*?charset=UTF-8\s*(\{.*)", re.DOTALL)
_NAME: Final = re.compile(r"\w+")
_NEEDS: Final = ("Required", "Optional")
_HEADS: Final = ("Request Example", "Response Example", "Arguments", "Query Parameters")


@dataclass
class Argument:
    name: str
    required: bool
    text: str


@dataclass
class PageOperation:
    """One operation of the page."""

    title: str
    text: str
    scope: str
    method: str
    path: str
    status: int = 200
    sent: Any = None
    replied: Any = None
    arguments: list[Argument] = field(default_factory=list[Argument])
    query: list[Argument] = field(default_factory=list[Argument])

    @property
    def is_cut_off(self) -> bool:
        """Whether the page ends before the request and reply of this operation."""
        return self.replied is None

    @property
    def file(self) -> str:
        """The Books file that describes the same record."""
        if "/contactpersons" in self.path:
            return "contact-persons"
        return FILES[self.path.split("/")[1]]


def operations(page: str) -> list[PageOperation]:
    """Every operation of the page, in its order."""
    lines = page.splitlines()
    starts = [at for at in range(len(lines)) if _is_call(lines, at)]
    titles = [_title(lines, at) for at in starts]
    found: list[PageOperation] = []
    for number, (at, title) in enumerate(zip(starts, titles, strict=True)):
        end = titles[number + 1] if number + 1 < len(titles) else len(lines)
        call = _CALL.fullmatch(lines[at].strip())
        assert call is not None
        operation = PageOperation(
            title=lines[title].strip(),
            text=" ".join(lines[title + 1 : at]),
            scope=_scope(lines[at - 2]),
            method=call[1],
            path=call[2],
        )
        _read_sections(operation, lines[at + 1 : end])
        found.append(operation)
    return found


def _is_call(lines: Sequence[str], at: int) -> bool:
    return _CALL.fullmatch(lines[at].strip()) is not None and _scope(lines[at - 2]) != ""


def _scope(line: str) -> str:
    before, colon, scope = line.partition(":")
    return scope.strip() if colon and before.strip() == "oauthscope" else ""


def _title(lines: Sequence[str], at: int) -> int:
    """The title: the first line of the paragraph before the scope."""
    at -= 2
    while lines[at].strip():
        at -= 1
    while not lines[at].strip():
        at -= 1
    return at


def _read_sections(operation: PageOperation, lines: Sequence[str]) -> None:
    heads = [at for at, line in enumerate(lines) if line.strip() in _HEADS]
    for number, at in enumerate(heads):
        end = heads[number + 1] if number + 1 < len(heads) else len(lines)
        body = lines[at + 1 : end]
        match lines[at].strip():
            case "Request Example":
                operation.sent = _sent("\n".join(body))
            case "Response Example":
                _read_reply(operation, "\n".join(body))
            case "Arguments":
                operation.arguments += _arguments(body)
            case _:
                operation.query += _arguments(body)


def _sent(text: str) -> Any:
    found = re.search(r"-d '(\{.*\})'", text, re.DOTALL)
    return example(found[1]) if found else None


def _read_reply(operation: PageOperation, text: str) -> None:
    found = _REPLY.search(text)
    if found:
        operation.status = int(found[1])
        operation.replied = example(found[2])


def example(text: str) -> Any:
    """Parse an example of the page as JSON, without its ``{...}``; None if it is invalid."""
    text = re.sub(r",?\s*\{\s*\.\.\.\s*\}", "", text)
    text = re.sub(r",\s*\.\.\.", "", text).replace("\u201c", '"').replace("\u201d", '"')
    text = re.sub(r",(\s*[}\]])", r"\1", text)
    try:
        return json.JSONDecoder().raw_decode(text.strip())[0]
    except json.JSONDecodeError:
        return None


def _arguments(lines: Sequence[str]) -> list[Argument]:
    """Argument names with their texts. Editions may come between a name and its need.

    Headings of nested tables have a need but no name: the need before them is another argument's.
    """
    found: list[Argument] = []
    for at, line in enumerate(lines):
        if line.strip() not in _NEEDS:
            continue
        back = at - 1
        while back >= 0 and not _NAME.fullmatch(lines[back].strip()):
            back -= 1
        name = lines[back].strip()
        text = lines[at + 1].strip() if at + 1 < len(lines) else ""
        if name not in _NEEDS:
            found.append(Argument(name, line.strip() == "Required", text))
    return found


def billing_requests(reference: Path) -> list[tuple[str, str]]:
    """Method and path of each operation on the page of Zoho Billing's invoices."""
    text = (reference / _BILLING_PAGE).read_text(encoding="utf-8")
    found = re.findall(r'url: "[^"]*/subscriptions/v1(/[^"?]+)[^"]*"\s+type: ([A-Z]+)', text)
    return [(method, re.sub(r"/\d{6,}", "/{id}", path)) for path, method in found]


# -- merge of the page with Books -------------------------------------------------------------


def resources(reference: Path) -> list[str]:
    """The names of the files that Invoice would have."""
    return sorted({each.file for each in _page(reference)} | set(UNCONFIRMED))


def document(
    reference: Path, resource: str, books: Callable[[str], Json], resolver: Callable[[Json], Any]
) -> Json:
    """The OpenAPI file that a resource of Invoice would have.

    ``books`` returns a Books file, and ``resolver`` makes the resolver of its references.
    """
    described = books(_ELSEWHERE.get(resource, resource))
    twins: dict[tuple[str, str], tuple[str, Json]] = {
        _request(method, path): (path, cast(Json, operation))
        for path, entry in described["paths"].items()
        for method, operation in entry.items()
        if isinstance(operation, dict)
    }
    nothing: tuple[str, Json] = ("", {})
    shared = {
        path: cast(list[Json], entry.get("parameters", []))
        for path, entry in described["paths"].items()
    }
    paths: dict[str, Json] = {}
    read = resolver(described)
    seen: set[tuple[str, str]] = set()
    for each in _page(reference):
        if each.file == resource:
            request = _request(each.method, each.path)
            twin_path, twin = nothing if request in seen else twins.get(request, nothing)
            seen.add(request)
            parameters = [*shared.get(twin_path, []), *twin.get("parameters", [])]
            entry = paths.setdefault(each.path, {})
            entry[each.method.lower()] = _confirmed(each, twin, parameters, read)
            row = _row_of(reference, request) if each.is_cut_off else None
            if row is not None:  # Books supplies what the page lacks
                known = _unconfirmed(row, twin, parameters, read)
                entry[each.method.lower()] = {**known, "x-unconfirmed": False}
    confirmed = {_request(method, path) for path, entry in paths.items() for method in entry}
    for row in _surface(reference):
        request = _request(row["method"], row["path"])
        if (
            row["file"] == f"{resource}.yml"
            and resource in UNCONFIRMED
            and request not in confirmed
        ):
            twin_path, twin = twins.get(request, nothing)
            parameters = [*shared.get(twin_path, []), *twin.get("parameters", [])]
            entry = paths.setdefault(row["path"], {})
            entry[row["method"].lower()] = _unconfirmed(row, twin, parameters, read)
    return {"paths": paths, "components": described["components"]}


@functools.cache
def _page(reference: Path) -> tuple[PageOperation, ...]:
    return tuple(operations((reference / _PAGE).read_text(encoding="utf-8")))


@functools.cache
def _surface(reference: Path) -> tuple[dict[str, str], ...]:
    with (reference / _SURFACE).open(encoding="utf-8", newline="") as file:
        return tuple(csv.DictReader(file))


def _row_of(reference: Path, request: tuple[str, str]) -> dict[str, str] | None:
    rows = (row for row in _surface(reference) if _request(row["method"], row["path"]) == request)
    return next(rows, None)


def _request(method: str, path: str) -> tuple[str, str]:
    """The identity of a request, without the names of ids and with singular words."""
    plain = re.sub(r"{[^}]*}", "{}", path)
    return method.upper(), re.sub(r"^/contact/", "/contacts/", plain)


def _confirmed(each: PageOperation, twin: Json, parameters: list[Json], read: Any) -> Json:
    known = {name: value for name, value in _by_name(parameters, read) if value["in"] == "query"}
    ids = re.findall(r"{:?([^}]+)}", each.path)
    operation: Json = {
        "operationId": twin.get("operationId") or None,
        "summary": each.title,
        "description": each.text,
        "parameters": [
            *({"name": name, "in": "path", "required": True} for name in ids),
            *(
                {**known.get(one.name, _parameter(one)), "required": one.required}
                for one in each.query
            ),
            *(value for _, value in _by_name(parameters, read) if value["in"] == "header"),
        ],
        "security": [{"oauth": [each.scope]}],
    }
    body = _body(each, twin, read)
    if body:
        operation["requestBody"] = body
    operation["responses"] = _responses(each, twin, read)
    return operation


def _unconfirmed(row: Mapping[str, str], twin: Json, parameters: list[Json], read: Any) -> Json:
    wanted = set(row["query_params"].split(";"))
    kept = [
        value
        for name, value in _by_name(parameters, read)
        if value["in"] != "query" or name in wanted
    ]
    named = {value["name"] for value in kept}
    ids = [name for name in re.findall(r"{([^}]+)}", row["path"]) if name not in named]
    return {
        **twin,
        "operationId": twin.get("operationId"),
        "summary": row["summary"],
        "parameters": [
            *kept,
            *({"name": name, "in": "path", "required": True} for name in ids),
        ],
        "security": [{"oauth": [row["scope"].replace("ZohoBooks.", "ZohoInvoice.")]}],
        "responses": twin.get("responses", {"200": {}}),
        "x-unconfirmed": True,
    }


def _by_name(parameters: Sequence[Json], read: Any) -> Iterator[tuple[str, Json]]:
    for parameter in parameters:
        value = read(parameter)
        yield str(value["name"]), value


def _parameter(argument: Argument) -> Json:
    schema = {"type": "string"}
    text = re.sub(
        r"(Allowed [Vv]alues?:?)\s*(.+)", lambda found: found[1] + _coded(found[2]), argument.text
    )
    return {"name": argument.name, "in": "query", "description": text, "schema": schema}


def _coded(values: str) -> str:
    names = re.split(r",\s*|\s+and\s+|\s+or\s+", values.strip().rstrip("."))
    if not all(re.fullmatch(r"[\w.]+", name) for name in names):
        return f" {values}"
    return " " + ", ".join(f"<code>{name}</code>" for name in names)


def _body(each: PageOperation, twin: Json, read: Any) -> Json:
    content: Json = dict(read(twin.get("requestBody", {})).get("content", {}))
    if each.sent is None and not each.arguments:
        return {"content": content} if content and each.method in {"POST", "PUT"} else {}
    schema = overlay(content.get("application/json", {}).get("schema", {}), each.sent or {}, read)
    present = set(_names(schema, read))
    properties: Json = dict(schema.get("properties", {}))
    for argument in each.arguments:
        if argument.name not in present and argument.name != "attachment":
            properties[argument.name] = {"type": "string", "description": argument.text}
    needed = [one.name for one in each.arguments if one.required and one.name in properties]
    schema = {**schema, "type": "object", "properties": properties, "required": needed}
    content["application/json"] = {"schema": schema}
    return {"content": content}


def _responses(each: PageOperation, twin: Json, read: Any) -> Json:
    replies = [
        value for code, value in twin.get("responses", {}).items() if str(code).startswith("2")
    ]
    content: Json = dict(read(replies[0]).get("content", {})) if replies else {}
    if each.replied is not None:
        known = content.get("application/json", {}).get("schema", {})
        content["application/json"] = {"schema": overlay(known, each.replied, read)}
    return {str(each.status): {"content": content}}


def overlay(schema: Any, value: Any, read: Any, depth: int = 0) -> Json:
    """Extend a schema by an example. The schema's type wins for fields that both have."""
    known: Json = dict(read(schema)) if depth < 8 else {}
    if isinstance(value, dict):
        if known.get("type") == "array":
            return {**known, "items": overlay(known.get("items", {}), value, read, depth + 1)}
        properties: Json = dict(known.get("properties", {}))
        for name, inner in cast(Json, value).items():
            properties[name] = overlay(properties.get(name, {}), inner, read, depth + 1)
        return {**known, "type": "object", "properties": properties}
    if is_array(value):
        if known.get("type") == "object" or known.get("properties"):
            return overlay(known, value[0], read, depth) if value else known
        items: Any = known.get("items", {})
        for row in value:
            items = overlay(items, row, read, depth + 1)
        return {**known, "type": "array", "items": items}
    if known.get("type"):
        return known
    kinds: Sequence[tuple[type, str]] = (
        (bool, "boolean"),
        (int, "integer"),
        (float, "number"),
        (str, "string"),
    )
    kind = next((name for kind, name in kinds if isinstance(value, kind)), "string")
    return {**known, "type": kind, "example": value}


def _names(schema: Any, read: Any, depth: int = 0) -> Iterator[str]:
    """The names of all fields of a schema, at any depth."""
    if depth > 8:
        return
    known = read(schema)
    for name, inner in known.get("properties", {}).items():
        yield name
        yield from _names(inner, read, depth + 1)
    if "items" in known:
        yield from _names(known["items"], read, depth + 1)
