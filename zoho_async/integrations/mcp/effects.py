"""What a proposed write would do, as a person can judge it.

An id says nothing to a person, so the records that a request names are read: the record that it
changes with its present values, and the customers, invoices and other records in its body.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec

from zoho_async import description
from zoho_async.description import Field, OperationFacts
from zoho_async.errors import ConfigurationError, ReplyError
from zoho_async.http.call import path_of
from zoho_async.importer import Intent, room_for
from zoho_async.importer.compare import has_all
from zoho_async.integrations.mcp.allowed import (
    access_of,
    check_query,
    filled_path,
    operation_named,
)
from zoho_async.integrations.mcp.pages import shown
from zoho_async.integrations.mcp.uploads import ProposedFile
from zoho_async.session import Session
from zoho_async.wire.text import is_array, is_object

#: The most records that are read to explain one proposal.
_MOST_READ: Final = 8
#: Resources whose records the fields of a body name.
_NAMED: Final = {
    "customer_id": ("contacts", "customers"),
    "contact_id": ("contacts", "customers"),
    "vendor_id": ("contacts",),
    "invoice_id": ("invoices",),
    "bill_id": ("bills",),
    "creditnote_id": ("credit_notes",),
    "item_id": ("items",),
    "account_id": ("chart_of_accounts",),
}
#: Fields that tell a person which record it is.
_TELLING: Final = re.compile(
    r"(?:contact_|customer_|vendor_|company_|account_|item_)?name|\w+_number|status|date|due_date"
    r"|total|balance|amount|rate|email|currency_code"
)
_PLACEHOLDER: Final = re.compile(r"\{\w+\}")


class ProposedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a model proposes."""

    operation: str
    ids: tuple[str, ...] = ()
    query: Mapping[str, str] = {}
    body: Mapping[str, Any] | None = None


def intent_of(wanted: ProposedRequest, *, allow_deletes: bool) -> tuple[Intent, list[str]]:
    """Return the write that ``wanted`` means, and warnings. Makes no API call.

    Raises `ConfigurationError` for what is no write, for deletes that are not allowed, and for
    wrong ids and parameters.
    """
    facts = operation_named(wanted.operation)
    access = access_of(facts)
    if access == "read":
        raise ConfigurationError(f"{facts.name} is a read: call it with the tool read")
    if access == "delete" and not allow_deletes:
        raise ConfigurationError(
            f"{facts.name} deletes, and this server was started without --allow-deletes"
        )
    filled_path(facts, wanted.ids)
    check_query(facts, wanted.query)
    body = None if wanted.body is None else _exact(wanted.body)
    warnings = [*_missing(facts, body or {}), *_problems(facts.body, body or {}, "")]
    room = room_for(facts, body) if body is not None and facts.name.endswith(".create") else None
    intent = Intent(
        operation=facts.name, ids=wanted.ids, query=dict(wanted.query), body=body, room=room
    )
    return intent, warnings


def _exact(value: Any) -> Any:
    """``value`` with decimals in place of floats, with the digits that JSON had."""
    if is_object(value):
        return {name: _exact(each) for name, each in value.items()}
    if is_array(value):
        return [_exact(each) for each in value]
    return Decimal(repr(value)) if isinstance(value, float) else value


# -- the body -----------------------------------------------------------------------------------


def _missing(facts: OperationFacts, body: Mapping[str, Any]) -> Iterator[str]:
    """The required fields that a body lacks. Zoho documents some that it does not require."""
    for field in facts.body:
        if field.required and field.name not in body:
            yield f"{field.name} is documented as required, and missing"


def _problems(fields: Sequence[Field], body: Mapping[str, Any], above: str) -> Iterator[str]:
    """What the description says against a body: unknown fields, and values that are not allowed."""
    known = {field.name: field for field in fields}
    for name, value in body.items():
        field = known.get(name)
        if field is None:
            yield f"{above}{name} is not described: Zoho may ignore it"
            continue
        if field.allowed and isinstance(value, str) and value not in field.allowed:
            yield f"{above}{name} is {value!r}; described are {', '.join(field.allowed)}"
        for each in value if is_array(value) else [value]:
            if is_object(each) and field.fields:
                yield from _problems(field.fields, each, f"{above}{name}.")


# -- the effect ---------------------------------------------------------------------------------


async def effect_of(
    zoho: Session,
    intent: Intent,
    warnings: Sequence[str] = (),
    files: Sequence[ProposedFile] = (),
) -> dict[str, Any]:
    """Return what ``intent`` would do, with the present values. Makes up to nine API calls.

    Raises the errors of calls; a record that cannot be read is said in its place.
    """
    facts = operation_named(intent.operation)
    effect: dict[str, Any] = {
        "operation": facts.name,
        "call": f"{facts.method} {path_of(facts.path, intent.ids)}",
        "organization": zoho.organization,
        "deletes": access_of(facts) == "delete",
    }
    if intent.query:
        effect["query"] = dict(intent.query)
    if intent.body is not None:
        effect["body"] = shown(intent.body, hides=False)
    if files:
        effect["files"] = [
            {"field": one.field, "path": one.path, "bytes": one.size, "sha256": one.digest}
            for one in files
        ]
    if intent.room is not None:
        effect["token"] = f"{intent.room.name} gets a mark, zaw-..., which finds a lost answer"
    record = await _changed_record(zoho, facts, intent)
    if record is not None:
        effect["record"] = _telling(record)
        if facts.method == "PUT" and intent.body and "error" not in record:
            effect["changes"] = [
                {
                    "field": name,
                    "now": shown({name: record.get(name)})[name],
                    "then": shown(value, hides=False),
                }
                for name, value in intent.body.items()
                if not has_all(record, {name: value})
            ]
    if intent.body:
        named = await _named_records(zoho, facts.product, intent.body)
        if named:
            effect["refers_to"] = named
    if warnings:
        effect["warnings"] = list(warnings)
    return effect


async def _changed_record(
    zoho: Session, facts: OperationFacts, intent: Intent
) -> dict[str, Any] | None:
    """The record whose path the request's path begins with, None if there is no such record."""
    get = _get_of(facts.product, facts.resource.partition(".")[2])
    if get is None:
        return None
    ids = len(_PLACEHOLDER.findall(get.path))
    path, template = _PLACEHOLDER.sub("{}", facts.path), _PLACEHOLDER.sub("{}", get.path)
    if not ids or len(intent.ids) < ids or not f"{path}/".startswith(f"{template}/"):
        return None
    return await _record(zoho, get, intent.ids[:ids])


async def _named_records(
    zoho: Session, product: str, body: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for name, value in _ids_in(body):
        key = f"{name} {value}"
        get = next((op for each in _NAMED[name] if (op := _get_of(product, each))), None)
        if get is None or key in found:
            continue
        if len(found) == _MOST_READ:
            found["more"] = {"note": f"only {_MOST_READ} records were read"}
            break
        found[key] = _telling(await _record(zoho, get, [value]))
    return found


def _ids_in(value: Any) -> Iterator[tuple[str, str]]:
    """The ids of other records in a body, at any depth."""
    if is_array(value):
        for each in value:
            yield from _ids_in(each)
    elif is_object(value):
        for name, each in value.items():
            if name in _NAMED and isinstance(each, str | int) and str(each).isdecimal():
                yield name, str(each)
            else:
                yield from _ids_in(each)


def _get_of(product: str, resource: str) -> OperationFacts | None:
    name = f"{product}.{resource}.get"
    return next((each for each in description.reads(product) if each.name == name), None)


async def _record(zoho: Session, get: OperationFacts, ids: Sequence[str]) -> dict[str, Any]:
    try:
        reply = await zoho.request("GET", path_of(get.path, ids), product=get.product)
    except ReplyError as error:
        return {"error": str(error)}
    value = reply.get(get.key) if is_object(reply) else None
    return value if is_object(value) else {}


def _telling(record: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a record that tell a person which one it is."""
    return {
        name: shown(value)
        for name, value in record.items()
        if (_TELLING.fullmatch(name) and value not in (None, "") and not is_object(value))
        or name == "error"
    }


# -- as text ------------------------------------------------------------------------------------


def effect_lines(id: str, effect: Mapping[str, Any]) -> list[str]:
    """Return an effect as lines for a person. Values are JSON, so none of them ends a line."""
    lines = [
        f"Proposal {id} for organization {effect['organization']}",
        f"  {effect['call']}  ({effect['operation']})",
    ]
    lines += [f"  THE SAME REQUEST: {_json(other)}" for other in effect.get("same", ())]
    if effect["deletes"]:
        lines.append("  THIS DELETES.")
    if "query" in effect:
        lines.append(f"  parameters: {_json(effect['query'])}")
    if "record" in effect:
        lines.append(f"  record: {_json(effect['record'])}")
    lines += [
        f"  {change['field']}: {_json(change['now'])} -> {_json(change['then'])}"
        for change in effect.get("changes", ())
    ]
    named: Mapping[str, Any] = effect.get("refers_to", {})
    lines += [f"  {name}: {_json(record)}" for name, record in named.items()]
    if "body" in effect:
        text = msgspec.json.format(msgspec.json.encode(effect["body"]), indent=2).decode()
        lines += ["  body:", *(f"    {line}" for line in text.split("\n"))]
    lines += [f"  file: {_json(file)}" for file in effect.get("files", ())]
    if "token" in effect:
        lines.append(f"  {effect['token']}")
    lines += [f"  warning: {_json(warning)}" for warning in effect.get("warnings", ())]
    return lines


def closing_lines(id: str, effect: Mapping[str, Any], length: int) -> list[str]:
    """Return what is said after an effect of ``length`` lines, so that none of it is overlooked."""
    does = "DELETES by" if effect["deletes"] else "is"
    return [
        f"Proposal {id} {does} {effect['operation']} for {effect['organization']}.",
        f"Its effect has {length} lines above this one: read all of them.",
    ]


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
