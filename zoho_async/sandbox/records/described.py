"""Resources made from the API description: rows and records of the fields that replies name.

Row ``index`` is a function of (seed, organization, schema, ``index``), as in the hand-written
resources. Every described field gets a maker once, and a row is the makers' values.

- Ids refer to records that exist (``customer_id`` to a seeded contact), and names to the same
  records.
- Statuses are values that the description allows.
- Values that cannot be derived are empty.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias
from zlib import crc32

from zoho_async.description import Field, OperationFacts
from zoho_async.sandbox.api.undescribed import live_row_fields
from zoho_async.sandbox.data.dates import day, stamp
from zoho_async.sandbox.data.schemas import CollectionSchema, CollectionSchemas
from zoho_async.sandbox.data.seed import (
    GIVEN,
    INSIDE,
    PRIMARY_IDS,
    SampleData,
    person_id,
)
from zoho_async.sandbox.data.values import blank, is_list, is_object, render_fields
from zoho_async.sandbox.records.resource import Record, ResourceRules, settle_custom_fields, within
from zoho_async.sandbox.rules import statuses
from zoho_async.sandbox.rules.documents import kind_at

Maker: TypeAlias = Callable[[int, bytes], Any]

_AMOUNT: Final = re.compile(r"(amount|balance|total|price|rate|cost|value)$")
_LINES: Final = frozenset({"line_items", "invoice_items", "creditnote_items"})
_INITIAL: Final = ("draft", "active", "open", "yettostart", "unbilled", "pending")
_WORDS: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")
_PREFIXES: Final = {
    "invoice": "INV", "estimate": "EST", "creditnote": "CN", "credit_note": "CN",
    "salesorder": "SO", "sales_order": "SO", "purchaseorder": "PO", "purchase_order": "PO",
    "retainerinvoice": "RET", "bill": "BILL", "vendor_credit": "DN", "package": "PKG",
}  # fmt: skip
#: Zoho's messages for a created, changed and deleted record where they differ from the pattern.
#: Seen live: the quote. The others are examples in Zoho's specifications.
_MESSAGES: Final[Mapping[str, tuple[str, str, str]]] = {
    "estimate": (
        "The quote has been created.",
        "Quote information has been updated.",
        "The quote has been deleted.",
    ),
    "bill": (
        "The bill has been created.",
        "Bill information has been updated.",
        "The bill has been deleted.",
    ),
    "purchaseorder": (
        "Purchase Order has been added.",
        "Purchase Order has been updated.",
        "The purchase order has been deleted.",
    ),
    "expense": (
        "The expense has been recorded.",
        "Expense information has been updated.",
        "The expense has been deleted.",
    ),
    "vendorcredit": (
        "Vendor credit has been created.",
        "Vendor credit information has been updated.",
        "The vendor credit has been deleted.",
    ),
    "vendorpayment": (
        "The payment made to the vendor has been recorded.",
        "The details of the payment made to the vendor has been updated",
        "The payment has been deleted.",
    ),
}
#: Collections without sample records: their records are files.
_EMPTY_AT_FIRST: Final = frozenset({("documents",)})
_CONSTANTS: Final[dict[str, Any]] = {
    "price_precision": 2, "exchange_rate": 1.0,
    "quantity": 1.0, "is_active": True, "language_code": "en", "created_by": "Sam Sandbox",
    "created_by_name": "Sam Sandbox", "commented_by": "Sam Sandbox",
}  # fmt: skip


class Described(ResourceRules):
    """The records of one collection, or of one parent if it is below other records.

    ``parents`` are the names and ids of the records between the product and the collection.
    """

    def __init__(
        self,
        schema: CollectionSchema,
        schemas: CollectionSchemas,
        parents: Sequence[tuple[str, str]],
    ) -> None:
        self.schema: Final = schema
        self._schemas: Final = schemas
        self.parents: Final = dict(parents)
        self.name = schema.name
        self.kind: Final = kind_at(schema.path)
        self.id_field = schema.id_field
        self.single = schema.noun
        self.path = "/" + "/".join(schema.path)
        key = schema.listed.key if schema.listed is not None else schema.noun
        self.key = key.rpartition(".")[2]
        self.report_name = self.key.replace("_", " ").title()
        self.default_sort = ("created_time", "D")
        self.blanks = {}
        self.verbs = {}
        self.default_rows = INSIDE if schema.parents else None
        if schema.path in _EMPTY_AT_FIRST:
            self.default_rows = 0
        words = self.single.replace("_", " ")
        self.added = f"The {words} has been created."
        self.saved = f"The {words} has been updated."
        self.deleted = f"The {words} has been deleted."
        spoken = _MESSAGES.get(self.single.replace("_", "")) if not schema.parents else None
        if spoken is not None:
            self.added, self.saved, self.deleted = spoken
        self.row_fields: Final = _row_fields(schema)
        self.detail_fields: Final = _detail_fields(schema) or self.row_fields
        whole = {field.name: field for field in (*self.row_fields, *self.detail_fields)}
        self.fields: Final[Mapping[str, Field]] = whole
        listed = schema.listed.reply if schema.listed is not None else ()
        described = {field.name for field in listed}
        #: Fields that no description has, so that no reply leaves them out.
        self._live: Final = {f.name for f in self.row_fields} - described
        self.statuses: Final = _statuses(schema, whole)
        self.number_field: Final = next(
            (name for name in (f"{self.single}_number", "number") if name in whole), ""
        )
        names = (f"{self.single}_name", "contact_name", "display_name", "name")
        self.name_field: Final = next((name for name in names if name in whole), "")
        self.searched = tuple(
            name
            for name, field in whole.items()
            if field.kind == "text" and name.endswith(("name", "number", "email", "description"))
        )
        if schema.listed is not None:
            self.ignored = frozenset(schema.listed.ignored)
        self.missing = (1002, f"The {words} does not exist.")
        inside = "/".join(self.parents.values())
        self._draw_name: Final = f"{self.name}/{inside}" if inside else self.name
        self._makers: list[tuple[str, Maker]] | None = None
        self._detail_makers: list[tuple[str, Maker]] | None = None

    # -- ids ------------------------------------------------------------------------------------

    @property
    def has_numbers_for_ids(self) -> bool:
        return not self.id_field.endswith(("_code", "_name"))

    def id_of(self, world: SampleData, index: int) -> str:
        if not self.has_numbers_for_ids:
            return f"{self.single}-{index + 1}"
        if self.schema.parents:
            return world.inner_id(self._draw_name, index)
        return world.id(self.name, index)

    def index_of(self, world: SampleData, record_id: str) -> int | None:
        if self.schema.parents:
            return world.inner_index(self._draw_name, record_id)
        return world.index(self.name, record_id)

    # -- forms ----------------------------------------------------------------------------------

    def row(self, world: SampleData, index: int) -> Record:
        if self._makers is None:
            self._makers = [(f.name, self._maker(world, f)) for f in self.row_fields]
        draw = world.draw(self._draw_name, index)
        made = {name: make(index, draw) for name, make in self._makers}
        created = self._created(world, index)
        made["created_time"] = stamp(created)
        made["last_modified_time"] = stamp(world.modified(created, draw))
        if self.kind is not None:
            statuses.seeded(self.kind, made)
        return made

    def detail(self, world: SampleData, index: int, row: Record) -> Record:
        if self._detail_makers is None:
            fields = [*self.detail_fields, *self.row_fields]
            once = {field.name: field for field in reversed(fields)}
            self._detail_makers = [(name, self._maker(world, f)) for name, f in once.items()]
        draw = world.draw(self._draw_name, index)
        made = {name: make(index, draw) for name, make in self._detail_makers}
        times = ("created_time", "last_modified_time")
        made |= {name: row[name] for name in times}
        if self.kind is not None:
            statuses.seeded(self.kind, made)
        return made

    def _created(self, world: SampleData, index: int) -> int:
        return world.created(self.name, index, self.default_rows)

    def fresh(self, world: SampleData, index: int) -> Record:
        state: Record = {name: blank(field) for name, field in self.fields.items()}
        for name, value in (_CONSTANTS | _of_currency(world)).items():
            if name in state and not name.startswith(("comment", "quantity")):
                state[name] = value
        state |= {name: value for name, value in self.parents.items() if name in state}
        if "status" in state:
            words = [word for word in _INITIAL if word in self.statuses]
            state["status"] = (*words, *self.statuses, "active")[0]
        if "currency_id" in state:
            state["currency_id"] = world.currency_id
        if self.kind is not None and "is_discount_before_tax" in state:
            state["is_discount_before_tax"] = True
        if self.number_field:
            state[self.number_field] = self.number(index)
        if self.id_field:
            state[self.id_field] = self.id_of(world, index)
        return state | {"created_time": "", "last_modified_time": ""}

    def number(self, index: int) -> str:
        """The default number of a document."""
        prefix = _PREFIXES.get(self.single, self.single.replace("_", "")[:3].upper())
        return f"{prefix}-{index + 1:06d}"

    def settle(self, world: SampleData, state: Record) -> None:
        sent: Any = state.get("custom_fields")
        if is_list(sent) and all(is_object(each) for each in sent):
            settle_custom_fields(world, state)
        for field in self.fields.values():
            if field.kind == "list" and field.fields:
                self._name_elements(world, state, field)
        if self.kind is not None:
            index = self.index_of(world, str(state.get(self.id_field, "")))
            seeded = index is not None and index < world.size(self.name, self.default_rows)
            statuses.settle(self.kind, state, seeded=seeded, today=world.day_now())

    def _name_elements(self, world: SampleData, state: Record, field: Field) -> None:
        """Give ids to elements (lines, persons) that a caller sent without one."""
        elements: Any = state.get(field.name)
        own = next((f"{_one(field.name)}_id" for f in field.fields if f.kind == "id"), "")
        if not is_list(elements) or own not in {each.name for each in field.fields}:
            return
        if self._schemas.for_name(own):
            return  # the id of another record, not of the element
        inside = f"{self._draw_name}/{state.get(self.id_field, '')}/{field.name}"
        taken = {str(element.get(own)) for element in elements if is_object(element)}
        fresh = (
            one
            for number in itertools.count()
            if (one := world.inner_id(inside, number)) not in taken
        )
        state[field.name] = [
            {**element, own: next(fresh)}
            if is_object(element) and not element.get(own)
            else element
            for element in elements
        ]

    def render(self, fields: Sequence[Field], state: Record) -> Record:
        """Render a record's state in the form of one reply."""
        known = {field.name for field in fields}
        blanks = {field.name: blank(field) for field in fields if field.name not in state}
        hidden = self.fields.keys() - known - self._live
        shown = {name: value for name, value in state.items() if name not in hidden}
        return blanks | render_fields(fields, shown)

    def knows(self, field: str) -> bool:
        return field in self.fields or field in ("created_date", "created_time", "custom_field")

    def matches(self, record: Record, filter_by: str, today: str) -> bool:
        kind, _, word = filter_by.partition(".")
        wanted = word.lower()
        if not word or wanted == "all":
            return True
        if wanted in ("active", "inactive") and "status" not in self.fields:
            return record["is_active"] in ("", wanted == "active")
        dated = next(
            (name for name in (_snake(kind), "date", "log_date") if name in self.fields), ""
        )
        has_date = dated and kind.endswith("Date")
        inside = within(str(record[dated]), word, today) if has_date else None
        if inside is not None:
            return inside
        field = "status" if kind in ("Status", "TaskStatus") else _snake(kind)
        if field not in self.fields or self.fields[field].kind not in ("text", "id"):
            return True  # a span of days that depends on settings of the organization
        found = str(record[field]).lower()
        return found.replace("_", "") == wanted or found.endswith(f"_{wanted}")

    # -- makers ---------------------------------------------------------------------------------

    def _maker(self, world: SampleData, field: Field) -> Maker:
        name, salt = field.name, crc32(field.name.encode())
        if name == self.id_field:
            return lambda index, _: self.id_of(world, index)
        if name in self.parents:
            return _always(self.parents[name])
        constants = _CONSTANTS | _of_currency(world)
        if name in constants:
            return _always(constants[name])
        match field.kind:
            case "id":
                return self._id_maker(world, name, salt)
            case "text":
                return self._text_maker(world, field, salt)
            case "decimal":
                if _AMOUNT.search(name) and "unused" not in name:
                    return lambda _, draw: (int.from_bytes(draw[8:11], "big") ^ salt) % 900000 / 100
                return _always(0.0)
            case "date":
                later = 15 * 86_400 if "due" in name or "expir" in name else 0
                return lambda index, _: day(self._created(world, index) + later)
            case "time":
                return lambda index, _: stamp(self._created(world, index))
            case "object" if field.fields:
                return self._object_maker(world, field)
            case "list" if field.fields and name in _LINES:
                one = self._object_maker(world, field)
                return lambda index, draw: [one(index, draw)]
            case _:
                return _always(blank(field))

    def _id_maker(self, world: SampleData, name: str, salt: int) -> Maker:
        if name in ("customer_id", "vendor_id") and self._schemas.for_name(name):
            return lambda _, draw: world.customer(draw)[0]
        for target in self._schemas.for_name(name):
            return lambda _, draw: world.reference(target.name, draw, salt)
        if name in PRIMARY_IDS:
            return lambda index, _: person_id(self.id_of(world, index), 0)
        if name == "currency_id":
            return _always(world.currency_id)
        if name.endswith(("created_by_id", "modified_by_id", "commented_by_id")):
            return _always(world.user_id)
        if name == f"{_line_noun(self.single)}_id":
            return lambda index, _: world.inner_id(f"{self._draw_name}/lines", index)
        return _always("")

    def _text_maker(self, world: SampleData, field: Field, salt: int) -> Maker:
        name = field.name
        if name == "status" and self.statuses:
            words: Sequence[str] = self.statuses
            return lambda _, draw: words[(draw[6] + salt) % len(words)]
        if name == self.number_field:
            return lambda index, _: self.number(index)
        if name in ("contact_name", "display_name", "customer_name", "vendor_name"):
            if self.name == world.parties:
                return world.party
            if name != self.name_field:
                return lambda _, draw: world.customer(draw)[1]
        if name == self.name_field or name == "display_name":
            title = self.single.replace("_", " ").title()
            return lambda index, _: f"{title} {index}"
        if field.allowed:
            allowed = [word for word in field.allowed if word]
            return lambda _, draw: allowed[(draw[7] + salt) % len(allowed)]
        if name == "first_name":
            return lambda _, draw: GIVEN[(draw[5] ^ salt) % len(GIVEN)]
        if name == "last_name":
            return _always("Okafor")
        if name == "email":
            return lambda index, _: f"{self.single}{index}@example.com"
        if name in ("description", "notes", "reference_number"):
            return lambda _, draw: f"{name.split('_')[0]} {draw[9]}" if draw[10] % 2 else ""
        return _always("")

    def _object_maker(self, world: SampleData, field: Field) -> Maker:
        inner = [(each.name, self._inner_maker(world, each)) for each in field.fields]
        return lambda index, draw: {name: make(index, draw) for name, make in inner}

    def _inner_maker(self, world: SampleData, field: Field) -> Maker:
        if field.name == self.id_field or field.name in self.parents:
            return self._maker(world, field)
        if field.name == "line_item_id":
            return lambda index, _: world.inner_id(f"{self._draw_name}/lines", index)
        if field.kind == "text" and field.name in (self.number_field, self.name_field, "status"):
            return _always(field.allowed[0] if field.allowed else "")
        return self._maker(world, field)


def record_fields(facts: OperationFacts, schema: CollectionSchema | None) -> tuple[Field, ...]:
    """The fields of a reply's record, which is the reply or one of its fields."""
    holder = holder_of(facts, schema)
    return facts.reply if holder is None else holder.fields


def holder_of(facts: OperationFacts, schema: CollectionSchema | None) -> Field | None:
    """The field of a reply with several values that holds the record, if there is one."""
    if facts.answer != "values" or schema is None:
        return None
    if any(field.name == schema.id_field for field in facts.reply):
        return None
    for field in facts.reply:
        names = {each.name for each in field.fields}
        if names and (schema.id_field in names or _one(field.name) == schema.noun):
            return field
    return None


def _of_currency(world: SampleData) -> Record:
    return {"currency_code": world.currency_code, "currency_symbol": world.currency_symbol}


def _row_fields(schema: CollectionSchema) -> tuple[Field, ...]:
    return live_row_fields(schema.listed) if schema.listed is not None else ()


def _detail_fields(schema: CollectionSchema) -> tuple[Field, ...]:
    for facts in (schema.read, schema.made):
        fields = record_fields(facts, schema) if facts is not None else ()
        if fields:
            return fields
    return ()


def _statuses(schema: CollectionSchema, fields: Mapping[str, Field]) -> tuple[str, ...]:
    """The allowed values of a status, as far as the description names them."""
    if "status" not in fields:
        return ()
    found = list(fields["status"].allowed)
    asked = (
        {field.name: field for field in schema.listed.query} if schema.listed is not None else {}
    )
    if not found and "status" in asked:
        found = list(asked["status"].allowed)
    if not found and "filter_by" in asked:
        views = (word.partition(".") for word in asked["filter_by"].allowed)
        found = [_snake(word) for kind, _, word in views if kind == "Status"]
    return tuple(word for word in found if word and word != "all" and " " not in word)


def _snake(word: str) -> str:
    return _WORDS.sub("_", word).lower().replace("-", "_")


def _one(name: str) -> str:
    return name[:-1] if name.endswith("s") and not name.endswith("ss") else name


def _line_noun(single: str) -> str:
    return f"{single}_line"


def _always(value: Any) -> Maker:
    """A maker of one value. All rows share lists and objects, so these must not be changed."""

    def make(index: int, draw: bytes) -> Any:
        return value

    return make
