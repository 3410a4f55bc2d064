"""The generated files match the generator, are complete, and work."""

from __future__ import annotations

import importlib
import inspect
import json
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest

from zoho_async.codegen import check, generate, model, spec
from zoho_async.codegen.__main__ import main
from zoho_async.codegen.model import Model, ModelError
from zoho_async.codegen.overrides import Overrides
from zoho_async.description import Field, OperationFacts, load
from zoho_async.http.upload import Upload
from zoho_async.operation import ListOperation, Operation
from zoho_async.paging import Pager
from zoho_async.session import Session
from zoho_async.wire import Input, Record

REFERENCE = Path(__file__).parents[3] / "shared" / "reference"
#: ``product.resource`` of every generated module of functions.
RESOURCES = sorted(
    f"{product}.{path.stem}"
    for product in generate.PRODUCTS
    for path in (generate.PACKAGE / product).glob("[a-z]*.py")
)

needs_reference = pytest.mark.skipif(
    not (REFERENCE / "openapi").is_dir(), reason=f"Zoho's files are not there ({REFERENCE})"
)


@pytest.fixture(scope="module")
def built() -> list[Model]:
    return generate.models()


@pytest.fixture(scope="module")
def texts(built: list[Model]) -> dict[Path, str]:
    return generate.texts(built)


@pytest.fixture(scope="module")
def books(built: list[Model]) -> Model:
    return built[0]


def module(name: str) -> ModuleType:
    return importlib.import_module(f"zoho_async.{name}")


def functions(name: str) -> dict[str, Callable[..., Any]]:
    found = vars(module(name))
    return {each: found[each] for each in found["__all__"] if inspect.isfunction(found[each])}


def structs() -> list[type[msgspec.Struct]]:
    names = [each.replace(".", ".types.") for each in RESOURCES]
    homes = [module(name) for name in (*names, *(f"{p}.types.shared" for p in generate.PRODUCTS))]
    return [
        value
        for home in homes
        for value in vars(home).values()
        if inspect.isclass(value)
        and issubclass(value, msgspec.Struct)
        and value.__module__ == home.__name__
    ]


# -- the generated files ----------------------------------------------------------------------


@pytest.mark.long  # as `python -m zoho_async.codegen --check` in the types session
def test_the_generated_files_are_up_to_date(texts: dict[Path, str]) -> None:
    assert generate.differences(texts) == []


@pytest.mark.long
def test_generating_twice_gives_the_same(texts: dict[Path, str]) -> None:
    assert texts == generate.texts(generate.models())


def test_changed_and_foreign_files_are_reported(texts: dict[Path, str], tmp_path: Path) -> None:
    generate.write(texts, tmp_path)
    assert generate.differences(texts, tmp_path) == []
    (tmp_path / "books" / "items.py").write_text("changed", encoding="utf-8")
    (tmp_path / "books" / "own.py").write_text("by hand", encoding="utf-8")
    assert generate.differences(texts, tmp_path) == [
        "books/items.py",
        "books/own.py (not generated)",
    ]


@needs_reference
def test_no_operation_of_the_official_files_is_missing(built: list[Model]) -> None:
    counts = {
        model.product: sum(not each.call.evidence for each in model.functions()) + len(model.merged)
        for model in built
    }
    assert [missing for model in built for missing in check.missing(model, REFERENCE)] == []
    assert counts == {"books": 849, "invoice": 261, "billing": 192, "inventory": 504}


@pytest.mark.long
@needs_reference
def test_the_facts_are_those_of_the_official_files(built: list[Model]) -> None:
    assert [stale for model in built for stale in check.stale(model, REFERENCE)] == []


@needs_reference
def test_a_missing_operation_is_found(books: Model) -> None:
    resources = {each.name: each for each in books.resources}
    accounts, usage = resources["bank_accounts"], resources["api_usage"]
    whole, observed = accounts.functions, usage.functions
    try:
        accounts.functions, usage.functions = whole[1:], []
        assert check.missing(books, REFERENCE) == [
            "books/bank-accounts: POST /bankaccounts",
            "books/observed: GET /apiusage",
        ]
    finally:
        accounts.functions, usage.functions = whole, observed


def test_the_check_reports_corrections(
    built: list[Model],
    texts: dict[Path, str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(generate, "models", lambda: built)
    monkeypatch.setattr(generate, "texts", lambda _: texts)
    assert main(["--check", "--reference", "/nowhere"]) == 0
    said = capsys.readouterr().out
    assert "books.invoices: 112 operations" in said
    assert "corrected mark_invoice_void -> void" in said
    assert "merged" in said
    assert "not compared with Zoho's files" in said


# -- corrections ------------------------------------------------------------------------------


def build(overrides: str) -> tuple[Model, Overrides]:
    read = Overrides(overrides)
    items = [source for source in spec.load("books") if source.resource == "items"]
    return model.build("books", items, read), read


def test_a_correction_without_effect_is_reported() -> None:
    _, overrides = build(
        """
        [[calls]]
        of = "books.items.no_such_item"
        totals = true
        reason = "r"
        evidence = "e"

        [[fields]]
        of = "books.items.Item"
        kinds = { rate = "decimal", no_such_field = "text" }
        reason = "r"
        evidence = "e"
        """
    )
    assert overrides.unused(["books"]) == [
        "calls: books.items.no_such_item",
        "fields: books.items.Item.rate",
        "fields: books.items.Item.no_such_field",
    ]


def test_a_correction_without_a_reason_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="reason"):
        Overrides('[[calls]]\nof = "books.items.get_item"\nevidence = "e"')


def test_two_functions_of_one_name_are_refused() -> None:
    with pytest.raises(ModelError, match="names both"):
        build(
            """
            [[names]]
            reason = "r"
            evidence = "e"
            to = { "books.items.get_item" = "fetch", "books.items.delete_item" = "fetch" }
            """
        )


def test_fields_follow_lists_and_recorded_rows_first(built: list[Model]) -> None:
    for product in built:
        lists = [each for each in product.functions() if each.name == "list" and each.reply]
        assert lists
        for function in lists:
            shape = product.replies.shapes.get(function.result)
            if shape is not None and shape.name not in {"Contact", "Project"}:
                described = dict.fromkeys(node.name for node in function.reply)
                assert list(shape.members)[: len(described)] == list(described), function.full_name

    recorded, _ = build(
        """
        [[fields]]
        of = "books.items.Item"
        order = ["unit", "not_of_this_product", "item_id"]
        reason = "r"
        evidence = "e"
        """
    )
    assert list(recorded.replies.shapes["Item"].members)[:2] == ["unit", "item_id"]


def test_every_correction_gives_reason_and_evidence() -> None:
    overrides = Overrides.read()
    assert all(fix.reason and fix.evidence for fix in (*overrides.calls, *overrides.fields))


# -- structs ----------------------------------------------------------------------------------


def test_every_struct_can_be_decoded() -> None:
    for struct in structs():
        msgspec.json.Decoder(struct)
        assert struct.__doc__


def test_a_record_without_fields_has_only_a_text_id() -> None:
    records = [struct for struct in structs() if issubclass(struct, Record)]
    assert records
    for record in records:
        values = msgspec.structs.asdict(record())
        assert set(map(type, values.values())) <= {str, type(None)}
        assert all(value == "" for value in values.values() if value is not None)


def test_an_empty_input_sends_nothing() -> None:
    inputs = [struct for struct in structs() if issubclass(struct, Input)]
    creates = [struct for struct in inputs if struct.__name__.endswith("Create")]
    assert len(inputs) > len(creates) > 100
    for struct in inputs:
        if struct in creates:
            with pytest.raises(TypeError, match="Missing required argument"):
                struct()
        else:
            assert msgspec.json.encode(struct()) == b"{}"


def test_money_is_exact_and_never_a_float() -> None:
    for struct in structs():
        for field in msgspec.structs.fields(struct):
            assert "float" not in str(field.type), (struct, field.name)


# -- functions --------------------------------------------------------------------------------


class Wire:
    """Takes the place of a session and stores what the functions pass to it."""

    def __init__(self) -> None:
        self.calls: list[tuple[Operation[Any] | ListOperation[Any], dict[str, Any]]] = []

    async def call(self, operation: Operation[Any], **given: Any) -> None:
        self.calls.append((operation, given))

    def download(self, operation: Operation[Any], **given: Any) -> None:
        self.calls.append((operation, given))

    downloads = download


def argument(name: str, annotation: object) -> object:
    text = str(annotation)
    if name in {"key", "value"} or "Literal" in text:
        return name
    if "Upload" in text:
        return Upload("a.pdf", b"%PDF")
    return ["1", "2"] if "Sequence" in text else f"the {name}"


async def handed_over(
    monkeypatch: pytest.MonkeyPatch, function: Callable[..., Any]
) -> tuple[Operation[Any] | ListOperation[Any], dict[str, Any]]:
    """The arguments that a function passes to the session if every argument is given."""
    wire = Wire()

    def remember(
        self: Pager[Any], zoho: Session, operation: ListOperation[Any], **given: Any
    ) -> None:
        wire.calls.append((operation, given))

    monkeypatch.setattr(Pager, "__init__", remember)
    zoho, *parameters = inspect.signature(function).parameters.values()
    assert zoho.name == "zoho"
    positional = [
        argument(each.name, each.annotation)
        for each in parameters
        if each.kind is each.POSITIONAL_OR_KEYWORD
    ]
    named = {
        each.name: {"beyond": "yes"}
        if each.name in {"extra_query", "extra_body"}
        else argument(each.name, each.annotation)
        for each in parameters
        if each.kind is each.KEYWORD_ONLY
    }
    answer = function(wire, *positional, **named)
    if inspect.isawaitable(answer) and inspect.iscoroutine(answer):
        await answer
    ((operation, given),) = wire.calls
    return operation, given


def known(fields: Sequence[Field]) -> set[str]:
    return {name for field in fields for name in (field.name, *field.variants)}


@pytest.mark.parametrize("resource", [each for each in RESOURCES if not each.endswith(".reports")])
async def test_every_function_passes_all_its_arguments(
    resource: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts_of = load(resource.partition(".")[0]).operations
    described: Mapping[str, OperationFacts] = {each.name: each for each in facts_of}
    for name, function in functions(resource).items():
        operation, given = await handed_over(monkeypatch, function)
        assert operation.name == f"{resource}.{name}"
        assert len(given.get("ids", ())) == operation.path.count("{")
        query: dict[str, Any] = dict(given.get("query") or {})
        assert query.pop("beyond") == "yes"
        assert all(value is not None for value in query.values())
        if operation.name not in described:
            continue  # a second form of another operation
        facts = described[operation.name]
        form = {*(given.get("files") or ()), *(given.get("fields") or ())}
        assert set(query) | form == known(facts.query)
        always = {"is_execute": True} if name == "execute_trial" else {}
        assert given.get("extra_body", {"beyond": "yes"}) == {**always, "beyond": "yes"}
        assert ("extra_body" in given) == ("extra_body" in inspect.signature(function).parameters)
        assert ("body" in given) == bool(facts.body) or facts.method in {"POST", "PUT"}
        assert facts.path == operation.path
        assert facts.scope == operation.scope


@pytest.mark.parametrize("resource", RESOURCES)
def test_every_function_documents_its_purpose_and_scope(resource: str) -> None:
    for name, function in functions(resource).items():
        said = inspect.getdoc(function) or ""
        assert said[0].isupper(), name
        assert "Scope: Zoho" in said, (resource, name)
        assert not any(letter.isdigit() for letter in name), name


def test_only_lists_and_documents_are_lazy() -> None:
    for resource in RESOURCES:
        for name, function in functions(resource).items():
            answer = str(inspect.signature(function).return_annotation)
            is_list = name.startswith(("list", "search"))
            if resource.endswith(".reports"):  # named as Zoho's pages name the report
                is_list = "Pager" in answer
            assert is_list == ("Pager" in answer), (resource, name)
            is_later = is_list or "Download" in answer
            assert is_later != inspect.iscoroutinefunction(function), (resource, name)


def test_an_upsert_names_its_field_and_is_repeatable() -> None:
    found = vars(module("books.contacts"))["_UPSERT"]
    assert found.repeatable
    assert not vars(module("books.contacts"))["_UPDATE"].repeatable


def test_the_packed_description_has_every_operation_once() -> None:
    for product, count in {"books": 838, "invoice": 259, "billing": 192, "inventory": 504}.items():
        operations = load(product).operations
        described = [each for each in operations if not each.evidence]
        assert len(described) == count
        assert len({each.name for each in operations}) == len(operations)
        trials = [each for each in operations if each.name.endswith(".execute_trial")]
        requests = {(each.method, each.path) for each in operations}
        assert len(requests) == len(operations) - len(trials)  # its body tells it from an update


def test_top_level_lists_declare_their_paging() -> None:
    lists = {each.name: each for each in load().operations if each.top_level}
    assert lists["books.contacts.list"].order == "created_time"
    assert lists["books.contacts.list"].totals
    assert lists["books.items.list"].order == ""
    assert not lists["books.organizations.list"].paged
    assert lists["books.organizations.list"].per_user
    assert "books.items.list_details" not in lists


def test_importing_the_product_loads_no_resource() -> None:
    program = (
        "import json, sys, zoho_async.books\n"
        "print(json.dumps([name for name in sys.modules if name.startswith('zoho_async.books')]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == ["zoho_async.books"]


@pytest.mark.parametrize("number", range(4))
def test_no_described_field_is_lost_in_the_structs(built: list[Model], number: int) -> None:
    count, lost = check.held(built[number])
    assert lost == []
    assert count > 6000


def test_every_described_result_is_used(built: list[Model]) -> None:
    assert [check.unanswered(each) for each in built] == [[], [], [], []]
    invoices = next(each for each in built[3].functions() if each.name == "get")
    answer, invoices.answer = invoices.answer, "done"
    assert len(check.unanswered(built[3])) == 1
    invoices.answer = answer


def test_a_field_missing_in_every_struct_is_found(built: list[Model]) -> None:
    inventory = built[3]
    members = inventory.replies.shapes["SalesOrderLineItem"].members
    whole = dict(members)
    try:
        del members["quantity"]
        _, lost = check.held(inventory)
    finally:
        members.clear()
        members.update(whole)
    assert any(each.endswith("SalesOrderLineItem has no quantity") for each in lost)


def test_a_result_described_only_by_the_second_file_is_used(books: Model) -> None:
    named = {each.full_name: each for each in books.functions()}
    for verb in ("create", "update"):
        function = named[f"books.contacts.{verb}_contact_person"]
        assert (function.answer, function.result) == ("record", "ContactPerson")
        assert function.key == "contact_person"


# -- other facts of operations ----------------------------------------------------------------


@pytest.mark.parametrize("product", generate.PRODUCTS)
def test_every_operation_can_be_looked_up_with_its_module(product: str) -> None:
    found = module(product).operations()
    assert len(found) == len(load(product).operations)
    for each in found:
        assert each.function in functions(each.module.removeprefix("zoho_async."))
        assert each.method in {"GET", "POST", "PUT", "DELETE"}
        assert each.path.startswith("/")


def test_a_list_declares_its_features() -> None:
    books, inventory = load("books"), load("inventory")
    assert books.named("books.invoices.list").changes == "last_modified_time"
    assert books.named("books.journals.list").changes == ""
    assert books.named("books.chart_of_accounts.list").per_page == 5000
    assert books.named("books.items.list").details == "books.items.list_details"
    assert books.named("books.items.list_details").batch == 100
    assert inventory.named("inventory.bills.list").ignored == ("*",)


def test_rows_that_can_repeat_an_id_have_no_id() -> None:
    books, inventory = load("books"), load("inventory")
    assert books.named("books.chart_of_accounts.list_transactions").row_id == ""
    assert inventory.named("inventory.items.list_invoices").row_id == ""
    assert books.named("books.recurring_expenses.list").row_id == "recurring_expense_id"


def test_top_level_rows_have_an_id() -> None:
    for product in generate.PRODUCTS:
        for each in load(product).operations:
            if each.top_level and each.name.endswith(".list") and each.reply:
                assert each.row_id, each.name


def test_error_codes_belong_to_their_resource() -> None:
    assert load("books").errors["books.items"][2006] == "no such item"
    assert load("billing").errors["billing.plans"][101002] == "no such plan"
    assert "2006 no such item" in (module("invoice.items").__doc__ or "")


@pytest.mark.parametrize("name", RESOURCES)
def test_operations_carry_the_codes_and_batches_of_their_resource(name: str) -> None:
    facts = load(name.partition(".")[0])
    for each in vars(module(name)).values():
        if not isinstance(each, Operation | ListOperation):
            continue
        assert dict(each.codes) == facts.errors.get(name, {})
        known = {named.name: named.batch for named in facts.operations}
        batches = (
            each.batches if isinstance(each, Operation) else (each.batch,) if each.batch else ()
        )
        if each.name in known and batches:
            assert batches[0].most == known[each.name]


def test_operations_described_only_by_books_are_marked_in_invoice() -> None:
    facts = load("invoice")
    assert facts.named("invoice.projects.list").unconfirmed
    assert not facts.named("invoice.invoices.list").unconfirmed
    assert not facts.named("invoice.expenses.create").unconfirmed
    assert facts.named("invoice.projects.list").scope == "ZohoInvoice.projects.READ"
    assert "Unconfirmed" in (inspect.getdoc(module("invoice.projects").list) or "")


@needs_reference
def test_the_alternative_path_of_a_page_is_recorded(built: list[Model]) -> None:
    billing = load("billing")
    assert billing.named("billing.invoices.void").alternatives == (
        "/invoices/{invoice_id}/status/void",
    )
    assert check.missing(built[2], REFERENCE) == []


def test_the_readme_counts_generated_operations(built: list[Model]) -> None:
    text = generate.README.read_text(encoding="utf-8")
    assert text == generate.readme(text, built)
    assert "| Books v3 | 838 |" in text


# -- docstrings -------------------------------------------------------------------------------


def said(name: str) -> dict[str, str]:
    return {
        each: " ".join((inspect.getdoc(function) or "").split())
        for each, function in functions(name).items()
    }


@pytest.mark.parametrize("name", RESOURCES)
def test_docstrings_read_as_sentences(name: str) -> None:
    for function, text in said(name).items():
        assert re.match(r"[A-Z][a-z-]* |(PDFs?|SMS) ", text), f"{function}: {text}"
        assert not re.search(r"\b(\w+) \1\b", text), f"a word twice in {function}: {text}"
        assert not re.search(r"\ba (?!uni|use|one)[aeiou]", text), f"{function}: {text}"
        assert not re.search(r"\b(an|the) (a|an|the)\b", text), f"{function}: {text}"
        assert not re.search(r"\ban [^aeiouAEIOUS]", text), f"{function}: {text}"


@pytest.mark.parametrize("name", RESOURCES)
def test_docstrings_name_the_scope(name: str) -> None:
    facts = {each.name: each for each in load(name.partition(".")[0]).operations}
    for function, text in said(name).items():
        known = facts.get(f"{name}.{function}")
        if known is not None and known.scope:
            assert f"Scope: {known.scope}." in text
