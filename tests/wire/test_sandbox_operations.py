"""Every operation of the four products succeeds with valid arguments.

The arguments are Zoho's examples, with ids of records that the sandbox has. Each reply is checked
in three ways: the generated types read it in strict mode, it has every field of the specification
with its type, and it fits the official files (see `official_replies`), which differ from the wire
in known ways. Invoice has no official file. Its replies are checked against Books and its own page.
"""

from __future__ import annotations

import inspect
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
import pytest

from tests.conformance.functions import Function, any_filters
from tests.conformance.official import files
from tests.conformance.patches import KNOWN, Patches
from tests.support import official_replies, page_replies
from tests.support.described_calls import arguments, known, path_ids
from tests.support.open_documents import open_documents
from tests.support.unlimited_sandbox import recorded_replies, strict_session, unlimited_sandbox
from zoho_async import Session
from zoho_async.description import Field, OperationFacts
from zoho_async.http.download import Download, Downloads
from zoho_async.operation import PRODUCTS, ListOperation
from zoho_async.paging import Page
from zoho_async.sandbox import Sandbox
from zoho_async.sandbox.api.router import operations
from zoho_async.sandbox.data.files import File
from zoho_async.sandbox.data.schemas import CollectionSchema, schemas
from zoho_async.sandbox.data.seed import SampleData
from zoho_async.sandbox.data.store import Store
from zoho_async.sandbox.replies import ApiReply, success

ORGANIZATION: Final = "10234695"
PDF: Final = b"%PDF-1.4 kept"
FOREIGN: Final = "460000000026049"
_PATH_NAME: Final = re.compile(r"\{(\w+)\}")
_SHARE: Final = re.compile(r"\d+(\.\d+)?%")
_KEPT: Final = re.compile(r"_(attachment|receipt|image)$|download_document")

#: Made from recordings, which have other fields than the description; proven against those.
_RECORDED: Final = frozenset(
    {"books.contacts", "books.items", "books.invoices", "books.projects", "books.organizations"}
)
#: Whose operations have rules: they are called on documents that allow it.
_FAMILIES: Final = frozenset(
    {
        f"{product}.{resource}"
        for product in PRODUCTS
        for resource in (
            *("invoices", "bills", "credit_notes", "vendor_credits", "retainer_invoices"),
            *("customer_payments", "vendor_payments", "payments", "refunds"),
        )
    }
)
#: Operations that require an unpaid retainer.
_UNPAID: Final = frozenset(
    f"{product}.retainer_invoices.{verb}"
    for product in ("books", "invoice", "inventory")
    for verb in ("update", "delete")
)
#: Ids of another resource than their name says.
_MEANT: Final = {
    ("books.bills.apply_credits", "payment_id"): "vendorpayments",
    ("books.chart_of_accounts.list_transactions", "account_id"): "chartofaccounts",
    ("billing.invoices.apply_multiple_credits", "creditnote_id"): "creditnotes",
}
#: Required by the specification, but in none of its examples.
_NOT_IN_EXAMPLES: Final = {
    "books.recurring_bills.create": {"repeat_every": "1", "recurrence_frequency": "months"},
    "books.recurring_bills.upsert": {"repeat_every": "1", "recurrence_frequency": "months"},
}

pytestmark = pytest.mark.skipif(
    not files(), reason="Zoho's specifications are not in ../shared/reference"
)


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with unlimited_sandbox() as running:
        yield running


@pytest.fixture
async def zoho(sandbox: Sandbox) -> AsyncIterator[Session]:
    async with strict_session(sandbox) as session:
        yield session


@pytest.fixture
def replies(monkeypatch: pytest.MonkeyPatch) -> list[ApiReply]:
    return recorded_replies(monkeypatch)


# The sandbox filters by fields of its rows only, and confirms no other filter.
@pytest.mark.filterwarnings("ignore::zoho_async.errors.UnconfirmedFilter")
@pytest.mark.parametrize(
    "product",
    [pytest.param(one, marks=[] if one == "billing" else [pytest.mark.long]) for one in PRODUCTS],
)
async def test_every_operation_succeeds_with_valid_arguments(
    product: str, sandbox: Sandbox, zoho: Session, replies: list[ApiReply]
) -> None:
    problems: dict[str, list[str]] = {}
    called = set[str]()
    patches = Patches()
    for function in known(product):
        fresh(sandbox)
        called.add(function.operation.name)
        replies.clear()
        played = Played(zoho, sandbox.store(), product, function, replies)
        found = [each async for each in played.problems()]
        found += official_replies.problems(function, replies, patches)
        found += page_replies.problems(function, replies[-1], patches) if replies else []
        if found:
            problems[function.name] = found
    assert not problems, f"{len(problems)} of {len(called)}\n" + "\n".join(
        f"{name}: {'; '.join(each)}" for name, each in problems.items()
    )
    described = {name for name, facts in operations(product).items() if not facts.evidence}
    assert described <= called  # test_sandbox_observed.py calls the observed ones
    for name, count in patches.used.most_common():
        print(f"{count:6} x {name}: {KNOWN[name]}")  # shown by -rP


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (success("s", {"bill": {"bill_id": {}}}), "bill.bill_id is {}, and described as string"),
        (success("s", {"bill": {"balance": True}}), "bill.balance is True, and described as"),
        (success("s", {"bill": {"balance": [1]}}), "bill.balance is [1], and described as"),
        (success("s", {"bill": {}, "vendor": {}}), "vendor is sent and not described"),
        (success("s", {}), "bill is described and not sent"),
        (success("s", {"bill": {}}, status=202), "the status is 202, not 200"),
    ],
)
def test_a_reply_that_the_official_file_refuses_is_a_problem(reply: ApiReply, said: str) -> None:
    (function,) = (each for each in known("books") if each.name == "books.bills.get")
    (problem,) = official_replies.problems(function, [reply], Patches())
    assert said in problem


def test_every_reply_of_invoice_is_held_against_books_or_inventory_or_its_own_page() -> None:
    """Counts by operation. `official_replies` says what that proves."""
    files: dict[str, str] = {}
    answering, on_page = set[str](), set[str]()
    every = set(operations("invoice"))
    for function in known("invoice"):
        name = function.operation.name
        if name not in every:
            continue  # the other form of an operation that answers a record or a document
        for each in official_replies.describing(function)[:1]:
            files[name] = each.product
            schema = each.document.follow(each.answers.get("application/json"))
            if (schema.get("properties") or {}).keys() - {"code", "message"}:
                answering.add(name)
        if function.key in page_replies.shown():
            on_page.add(name)
    assert every == files.keys() | on_page
    assert len(every) == 259
    assert Counter(files.values()) == {"books": 253, "inventory": 2}
    assert len(on_page) == 163
    assert len(answering) == 142  # the others tell code and message only, and so must the replies


@pytest.mark.parametrize(
    ("call", "reply", "said"),
    [
        ("items.get", success("s", {"item": {"item_id": {}}}), "item.item_id is {}"),
        ("items.get", success("s", {}), "item is on the page and not sent"),
        ("items.get", success("s", {"item": {"rate": True}}), "item.rate is True"),
        ("items.get", success("s", {"item": {"status": "active"}}), "item.name is on the page"),
        ("projects.get", success("s", {"project": {"rate": []}}), "project.rate is []"),
    ],
)
def test_a_reply_of_invoice_that_is_another_than_books_or_the_page_is_a_problem(
    call: str, reply: ApiReply, said: str
) -> None:
    (function,) = (each for each in known("invoice") if each.name == f"invoice.{call}")
    found = official_replies.problems(function, [reply], Patches())
    found += page_replies.problems(function, reply, Patches())
    assert any(said in problem for problem in found)


def fresh(sandbox: Sandbox) -> None:
    """Remove what the previous operation wrote."""
    sandbox.stores[:] = [
        Store(SampleData(sandbox.seed, name, {})) for name in sandbox.organizations
    ]


class Played:
    """One function called with valid arguments on a fresh store."""

    def __init__(
        self,
        zoho: Session,
        store: Store,
        product: str,
        function: Function,
        replies: Sequence[ApiReply],
    ) -> None:
        self.zoho: Final = zoho
        self.replies: Final = replies
        self.store: Final = store
        self.product: Final = product
        self.function: Final = function
        self.ids: Final = self._ids_in_path()
        if function.operation.name.rpartition(".")[0] in _FAMILIES:
            open_documents(store, product)
            if function.name in _UNPAID:
                self._unpay()

    async def problems(self) -> AsyncIterator[str]:
        """Return the problems of the replies."""
        given = arguments(self.function, self.product, self._id_of)
        given |= dict(zip(path_ids(self.function), self.ids, strict=True))
        for name in ("ignore_auto_number_generation", "accept", "print"):
            given.pop(name, None)  # the examples have no numbers, and are read as JSON
        self._arrange(given)
        yields: list[dict[str, Any]] = [given]
        if isinstance(self.function.operation, ListOperation):
            required = self._required()
            yields.append(self._of_a_row({name: given[name] for name in required}))
        for each in yields:
            try:
                result = await self._call(each)
            except Exception as error:
                yield f"{type(error).__name__}: {error}"
                return
        for problem in self._judged(result):
            yield problem

    async def _call(self, given: Mapping[str, Any]) -> Any:
        with any_filters():
            result: Any = self.function.call(self.zoho, **given)
        if hasattr(result, "__anext__"):
            result = await result.__anext__()
        if isinstance(result, Downloads):
            result = await anext(aiter(result))
        if isinstance(result, Download):
            return await result.read()
        return await result if inspect.isawaitable(result) else result

    def _judged(self, result: Any) -> Iterator[str]:
        if isinstance(result, bytes):
            if _KEPT.search(self.function.name) and result != PDF:
                yield "not the document that was kept"
            elif not result:
                yield "an empty document"
            return
        if isinstance(result, Page) and not result.rows:
            yield "no rows"
        facts = operations(self.product)[self.function.operation.name]
        if facts.resource not in _RECORDED and facts.answer != "done":
            yield from _described(facts, msgspec.json.decode(self.replies[-1].content()))

    # -- arguments ------------------------------------------------------------------------------

    def _required(self) -> set[str]:
        facts = operations(self.product)[self.function.operation.name]
        names = {field.name for field in facts.query if field.required}
        places = self.function.places
        return {n for n, place in places.items() if place.where == "path" or place.name in names}

    def _of_a_row(self, given: dict[str, Any]) -> dict[str, Any]:
        """Add the ids of the list's first row, so that a row is found."""
        schema = schemas(self.product).at(self.function.operation.path)
        if schema is None or schema.parents:
            return given
        row = self.store.shown(schema).state(0)
        places = self.function.places
        return {
            name: ((self.function.name, name) not in _MEANT and row.get(places[name].name)) or each
            for name, each in given.items()
        }

    def _arrange_subscription(self) -> None:
        """One that does not renew, and the plan and the addon of the examples."""
        plans = self.store.collection("billing.plans")
        plans.add({"plan_code": "basic-monthly", "name": "Basic", "recurring_price": 9})
        addons = self.store.collection("billing.addons")
        addons.add({"addon_code": "Email-basic", "name": "Email", "price_brackets": [{"price": 3}]})
        subscriptions = self.store.collection("billing.subscriptions")
        last = subscriptions.indexes()[-1]
        subscriptions.change(last, {"status": "non_renewing", "next_billing_at": "2010-01-01"})

    def _unpay(self) -> None:
        schema = schemas(self.product).by_path["retainerinvoices",]
        retainers = self.store.at(schema, ())
        retainers.change(retainers.indexes()[-1], {"payment_made": 0})

    def _id_of(self, name: str) -> str | None:
        word = _MEANT.get((self.function.name, name))
        if word is not None:
            return self.store.at(schemas(self.product).by_path[word,], ()).id(0)
        found = schemas(self.product).for_name(name)
        return self.store.at(found[0], ()).id(0) if found else None

    def _ids_in_path(self) -> list[str]:
        """Return ids of existing records for every name in the path."""
        path = self.function.operation.path
        if path.startswith("/organizations/{organization_id}"):
            return [ORGANIZATION]
        ids: list[str] = []
        names = _PATH_NAME.findall(path)
        for name, schema in zip(names, schemas(self.product).along(path), strict=True):
            if schema is not None:
                ids.append(self._id_at(schema, ids))
            else:
                ids.append("cm_debtor" if name == "module_name" else FOREIGN)
        return ids

    def _id_at(self, schema: CollectionSchema, above: Sequence[str]) -> str:
        if schema.parents > len(above):
            first = schemas(schema.product).along(self.store.template(schema))[0]
            assert first is not None
            above = [self.store.at(first, ()).id(0)]
        collection = self.store.at(schema, tuple(above[: schema.parents]))
        return collection.id(collection.indexes()[-1])

    def _arrange(self, given: dict[str, Any]) -> None:
        """Prepare the call: upload a file or set a reference."""
        path = self.function.operation.path
        for each in self.ids:
            path = _PATH_NAME.sub(each, path, count=1)
        if _KEPT.search(self.function.name) and self.function.method == "GET":
            file = File("attachment", "a.pdf", "application/pdf", PDF)
            self.store.keep_file(self.product, path, file)
        if "{reference_id}" in self.function.operation.path:
            for name in ("customers", "contacts"):
                schema = schemas(self.product).by_path.get((name,))
                if schema is not None:
                    self.store.at(schema, ()).change(0, {"zcrm_account_id": FOREIGN})
        if self.function.operation.name.startswith("billing.subscriptions."):
            self._arrange_subscription()
        for name, value in _NOT_IN_EXAMPLES.get(self.function.name, {}).items():
            body = next(each for each in given.values() if isinstance(each, msgspec.Struct))
            setattr(body, name, value)
        journal = given.get("journal")
        if journal is not None:  # the examples have a credit alone
            (line,) = journal.line_items
            other = "debit" if line.debit_or_credit == "credit" else "credit"
            journal.line_items = [line, msgspec.structs.replace(line, debit_or_credit=other)]


# -- the description --------------------------------------------------------------------------

_KINDS: Final[Mapping[str, type | tuple[type, ...]]] = {
    "id": str, "text": str, "decimal": float, "integer": int, "boolean": bool, "date": str,
    "time": str, "object": dict, "list": list, "any": object,
}  # fmt: skip
_FORMS: Final = {
    "id": re.compile(r"-?[0-9]*"),
    "date": re.compile(r"\d{4}-\d\d-\d\d"),
    "time": re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4}"),
}


def _described(facts: OperationFacts, reply: dict[str, Any]) -> Iterator[str]:
    """Yield the differences of a reply from the specification."""
    if facts.answer == "values":
        yield from _object(facts.reply, reply, "")
        return
    value = reply.get(facts.key) if facts.key else reply
    for row in value if isinstance(value, list) else [value]:
        if not isinstance(row, dict):
            yield f"{facts.key} is {row!r}"
        else:
            yield from _object(facts.reply, row, facts.key)


def _object(fields: Sequence[Field], value: dict[str, Any], where: str) -> Iterator[str]:
    for field in fields:
        if field.name in value:
            yield from _value(field, value[field.name], f"{where}.{field.name}")
        elif where.count(".") == 0:
            yield f"{where}.{field.name} is missing"


def _value(field: Field, value: Any, where: str) -> Iterator[str]:
    if value == "" or field.kind == "any":
        return
    if not _fits(field, value):
        yield f"{where} is {value!r}, no {field.kind}"
    elif field.fields:
        rows: list[Any] = value if isinstance(value, list) else [value]
        for each in rows:
            yield from _object(field.fields, each, f"{where}.")


def _fits(field: Field, value: Any) -> bool:
    if isinstance(value, bool):
        return field.kind == "boolean"
    if field.percent and isinstance(value, str):
        return _SHARE.fullmatch(value) is not None
    form = _FORMS.get(field.kind)
    if field.name.endswith("discount") and str(value).endswith("%"):
        return field.kind in ("decimal", "text")
    return isinstance(value, _KINDS[field.kind]) and (
        form is None or form.fullmatch(str(value)) is not None
    )
