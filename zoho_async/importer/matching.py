"""Decide which documents are created, updated or unchanged.

Model
-----
Without ``match`` every document is a create. With it, the list of the resource is read, and a
document belongs to the record that has the same value in that field, without regard to case and
surrounding spaces. Two records with one value, two documents with one value, and a document
without a value are problems: no guess decides.

A record is *unchanged* if it shows every field of the document with the same value. If the row of
the list does not show all of them, the record is read in full.

An update sends the fields of the document, and those that Zoho requires in addition, from the
record. Contact persons are sent with their ids, and those that the document does not name are
kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Collection, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec
from anyio.lowlevel import checkpoint

from zoho_async.description import OperationFacts
from zoho_async.errors import ConfigurationError
from zoho_async.http.call import path_of
from zoho_async.importer.compare import has_all
from zoho_async.importer.documents import CellProblem, RowDocument, missing_fields
from zoho_async.importer.lookups import read_rows
from zoho_async.importer.mapping import CUSTOM, ColumnMapping, Place
from zoho_async.importer.options import ImportOptions
from zoho_async.importer.targets import WriteTarget, room_for
from zoho_async.importer.writes import Intent
from zoho_async.session import Session
from zoho_async.wire.text import is_array, is_object

T = TypeVar("T")

_OWN_NUMBER: Final = "ignore_auto_number_generation"
_PERSONS: Final = "contact_persons"
_PERSON_ID: Final = "contact_person_id"


class Matched(msgspec.Struct, kw_only=True):
    """The writes of the documents, ``updates`` of them to records that exist, and the rest."""

    intents: list[Intent]
    updates: int = 0
    unchanged: list[RowDocument]
    problems: list[CellProblem]


class Matcher:
    """Makes the writes of one import. ``mapping`` names the columns in problems."""

    def __init__(
        self, zoho: Session, target: WriteTarget, mapping: ColumnMapping, options: ImportOptions
    ) -> None:
        self._zoho: Final = zoho
        self._target: Final = target
        self._mapping: Final = mapping
        self._options: Final = options
        self._column: Final = _match_column(mapping, options.match)
        if self._is_upsert and target.upsert is None:
            raise ConfigurationError(
                f"Zoho describes no upsert of {target.resource}; match by another field"
            )
        if options.match is not None and not self._is_upsert and target.update is None:
            raise ConfigurationError(f"Zoho describes no update of {target.resource}")

    @property
    def _is_upsert(self) -> bool:
        return self._column is not None and self._place.field.name.startswith(CUSTOM)

    @property
    def _place(self) -> Place:
        assert self._column is not None
        return self._mapping.places[self._column]

    async def match(self, documents: Sequence[RowDocument]) -> Matched:
        """Return what to write for ``documents``. Reads the list if there is a match field."""
        found = Matched(intents=[], unchanged=[], problems=[])
        if self._column is None:
            async for document in _with_pauses(documents):
                self._create(document, found)
            return found
        keys = [_key(_value_at(document.body, self._place)) for document in documents]
        existing = await self._existing(set(keys)) if documents else {}
        counts = Counter(keys)
        async for document, key in _with_pauses(zip(documents, keys, strict=True)):
            problem = ""
            records = existing.get(key, [])
            if not key:
                problem = "is empty, but finds the record"
            elif counts[key] > 1:
                problem = "is in several rows, but finds one record"
            elif len(records) > 1:
                ids = ", ".join(str(one.get(self._target.id_field)) for one in records[:4])
                problem = f"is the same in {len(records)} records ({ids})"
            if problem:
                found.problems.append(CellProblem(document.rows[0], self._column, problem))
            elif records:
                await self._update(document, records[0], found)
            else:
                self._create(document, found)
        return found

    async def _existing(self, wanted: Collection[str]) -> dict[str, list[dict[str, Any]]]:
        """The rows of the list that have a ``wanted`` value in the match field, by that value."""
        rows = self._target.list
        if rows is None:
            raise ConfigurationError(f"{self._target.resource} has no list to match with")
        name = self._place.field.name
        found: dict[str, list[dict[str, Any]]] = {}
        is_shown, is_empty = False, True
        async for row in read_rows(self._zoho, rows):
            is_empty = False
            is_shown = is_shown or name in row
            if (key := _key(row.get(name))) in wanted:
                found.setdefault(key, []).append(row)
        if not is_shown and not is_empty and not self._is_upsert:
            raise ConfigurationError(
                f"the list of {self._target.resource} does not show {name!r}, so rows cannot be "
                "matched by it"
            )
        return found

    # -- writes -----------------------------------------------------------------------------------

    def _create(self, document: RowDocument, found: Matched) -> None:
        facts = self._target.create
        assert facts is not None
        missing = missing_fields(document.body, facts.body)
        for name in missing:
            column = self._mapping.column_of(name) or name
            found.problems.append(
                CellProblem(document.rows[0], column, "is empty, but Zoho requires it")
            )
        if missing:
            return
        if self._is_upsert:
            found.intents.append(self._upsert(document, document.body))
            return
        options = self._options
        room = room_for(
            facts,
            document.body,
            custom_field=options.token_field,
            notes=options.token_in_notes,
        )
        found.intents.append(
            Intent(
                operation=facts.name,
                rows=document.rows,
                query=_query(facts, document.body),
                body=document.body,
                room=room,
                content=document.content,
            )
        )

    async def _update(self, document: RowDocument, row: Mapping[str, Any], found: Matched) -> None:
        facts = self._target.upsert if self._is_upsert else self._target.update
        assert facts is not None
        body, record = document.body, row
        required = [field.name for field in facts.body if field.required]
        if any(name not in row for name in (*body, *required)):
            record = await self._full(row)
        if has_all(record, body):
            found.unchanged.append(document)
            return
        found.updates += 1
        extra = {
            name: record[name]
            for name in required
            if name not in body and record.get(name) not in (None, "", [])
        }
        if _PERSONS in body:
            extra[_PERSONS] = _persons(body[_PERSONS], record.get(_PERSONS))
        if self._is_upsert:
            found.intents.append(self._upsert(document, body | extra))
            return
        found.intents.append(
            Intent(
                operation=facts.name,
                rows=document.rows,
                ids=(str(row[self._target.id_field]),),
                body=body | extra,
                content=document.content,
            )
        )

    def _upsert(self, document: RowDocument, body: dict[str, Any]) -> Intent:
        facts = self._target.upsert
        assert facts is not None
        return Intent(
            operation=facts.name,
            rows=document.rows,
            body=body,
            headers={
                "X-Unique-Identifier-Key": self._place.field.name,
                "X-Unique-Identifier-Value": str(_value_at(body, self._place)),
                "X-Upsert": "true",
            },
            content=document.content,
        )

    async def _full(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        facts = self._target.get
        if facts is None:
            return row
        reply = await self._zoho.request(
            "GET", path_of(facts.path, [str(row[self._target.id_field])]), product=facts.product
        )
        record = reply.get(facts.key) if is_object(reply) else None
        return record if is_object(record) else row


async def _with_pauses(items: Iterable[T]) -> AsyncGenerator[T]:
    """Yield ``items``, and let other tasks run now and then: 10,000 documents take a second."""
    for place, item in enumerate(items):
        if place % 100 == 0:
            await checkpoint()
        yield item


def _query(facts: OperationFacts, body: Mapping[str, Any]) -> dict[str, str]:
    """The query of a create. Zoho takes a number from the body only if it is asked to."""
    own_number = f"{facts.key}_number" in body
    described = any(field.name == _OWN_NUMBER for field in facts.query)
    return {_OWN_NUMBER: "true"} if own_number and described else {}


def _match_column(mapping: ColumnMapping, match: str | None) -> str | None:
    if match is None:
        return None
    column = match if match in mapping.places else mapping.column_of(match)
    if column is None:
        raise ConfigurationError(f"no column has {match!r}, by which rows should be matched")
    return column


def _value_at(body: Mapping[str, Any], place: Place) -> Any:
    """The value that a document has in a place; the first one of a list."""
    if place.outer == "custom_fields":
        fields: list[dict[str, Any]] = body.get("custom_fields") or []
        return next((one["value"] for one in fields if one["api_name"] == place.field.name), None)
    inner: Any = body.get(place.outer) if place.outer else body
    if is_array(inner):
        inner = inner[0] if inner else None
    return inner.get(place.field.name) if is_object(inner) else None


def _key(value: Any) -> str:
    return "" if value is None else str(value).strip().casefold()


def _persons(wanted: list[dict[str, Any]], present: Any) -> list[dict[str, Any]]:
    """The persons to send: each wanted one with its id if it exists, and the rest of ``present``.

    A person is found by the e-mail address; a single one without a match is the primary person.
    """
    rest: list[dict[str, Any]] = (
        [one for one in present if is_object(one)] if is_array(present) else []
    )
    sent: list[dict[str, Any]] = []
    for person in wanted:
        email = _key(person.get("email"))
        same = next((one for one in rest if email and _key(one.get("email")) == email), None)
        if same is None and len(wanted) == 1:
            same = next((one for one in rest if one.get("is_primary_contact")), None)
        if same is not None:
            rest.remove(same)
            person = {**person, _PERSON_ID: same.get(_PERSON_ID)}
        sent.append(person)
    kept = [{_PERSON_ID: one[_PERSON_ID]} for one in rest if one.get(_PERSON_ID)]
    return [*sent, *kept]
