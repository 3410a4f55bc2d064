"""Operations in no OpenAPI file: the sandbox answers each, and the generated function reads it."""

from __future__ import annotations

import inspect
import json
import typing
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import anyio
import msgspec
import pytest

from tests.conformance.functions import Function, observed
from tests.support.unlimited_sandbox import recorded_replies, strict_session, unlimited_sandbox
from zoho_async import (
    Session,
    Upload,
    attachments,
)
from zoho_async.books import custom_functions, custom_triggers, workflows
from zoho_async.books.custom_fields import FieldDefinitionInput
from zoho_async.books.custom_functions import CustomFunctionInput
from zoho_async.books.webhooks import WebhookCreate, WebhookInput
from zoho_async.description import load, scopes_for
from zoho_async.errors import MissingScope, NotFound, UnconfirmedFilter, ZohoError
from zoho_async.export import Export
from zoho_async.export.catalog import exportable, resolve
from zoho_async.http.download import Download
from zoho_async.operation import PRODUCTS, ListOperation
from zoho_async.sandbox import Sandbox
from zoho_async.sandbox.coverage import marks
from zoho_async.sandbox.data.schemas import schemas
from zoho_async.sandbox.replies import ApiReply
from zoho_async.wire import Input

ORGANIZATION: Final = "10234695"
PDF: Final = b"%PDF-1.4 \x00\xff an invoice"
PNG: Final = b"\x89PNG\r\n\x1a\n \x00 a picture"
#: An id where any is accepted, because no known reply names one.
FREE: Final = "460000000026049"


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


# -- every operation --------------------------------------------------------------------------


async def test_every_observed_operation_is_answered_and_read(
    sandbox: Sandbox, zoho: Session, replies: list[ApiReply]
) -> None:
    problems: dict[str, str] = {}
    functions = _functions()
    for function in sorted(functions, key=_turn):
        try:
            await called(function, sandbox, zoho)
        except Exception as error:
            problems[function.name] = f"{type(error).__name__}: {error}"
            continue
        missing = lacking(function, replies[-1])
        if missing:
            problems[function.name] = f"no {', '.join(missing)}"
    assert problems == {}
    assert len(functions) > 100


def _functions() -> list[Function]:
    return [each for product in PRODUCTS for each in observed(product)]


def _turn(function: Function) -> int:
    """Uploads come first, because only an upload makes a document; deletions come last."""
    return -1 if function.name.endswith("upload") else "delete" in function.name


async def called(function: Function, sandbox: Sandbox, zoho: Session) -> Any:
    """The result of a function with its required arguments; of a list, its first row."""
    given = {
        name: argument(function, name, sandbox)
        for name, parameter in inspect.signature(function.call).parameters.items()
        if name != "zoho" and parameter.default is inspect.Parameter.empty
    }
    if function.name.endswith("documents.upload"):
        given["attachment"] = Upload("a.pdf", PDF)
    asked = function.call(zoho, **given)
    if isinstance(function.operation, ListOperation):
        return (await asked).rows
    if isinstance(asked, Download):
        return await asked.read()
    return await asked


def argument(function: Function, name: str, sandbox: Sandbox) -> Any:
    place = function.places[name]
    if place.where == "path":
        return existing(function, sandbox)
    kind: Any = function.types[name]
    if isinstance(kind, type) and issubclass(kind, Input):
        needed = [each for each in msgspec.structs.fields(kind) if each.required]
        return kind(**{each.name: "text" for each in needed})
    if place.where == "body":
        return {"name": "text"}
    choices = typing.get_args(kind)
    return choices[0] if choices and isinstance(choices[0], str) else "text"


def existing(function: Function, sandbox: Sandbox) -> str:
    """The id of a record that the path of a function can name."""
    facts = load(function.operation.product.name).named(function.operation.name)
    schema = schemas(facts.product).along(facts.path)[0]
    if schema is None:
        return FREE
    rows = sandbox.store().at(schema, ())
    there = list(rows.indexes())
    return rows.id(there[0] if there else rows.add({}))


def lacking(function: Function, reply: ApiReply) -> list[str]:
    """The described fields that a reply of the sandbox has not."""
    facts = load(function.operation.product.name).named(function.operation.name)
    if facts.answer in ("done", "file"):
        return []
    body: Any = msgspec.json.decode(reply.page.joined() if reply.page else reply.body)
    value: Any = body
    for name in facts.key.split(".") if facts.key else ():
        value = value[name]
    if facts.answer == "list":
        value = value[0] if value else {}
    return [each.name for each in facts.reply if each.name not in value]


def test_each_observed_operation_is_marked_as_assumed() -> None:
    known = marks()
    assert {known[each.operation.name] for each in _functions()} == {"assumed"}


# -- documents --------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["attachment", "document"])
async def test_an_uploaded_file_is_listed_and_downloaded_as_it_was(
    field: str, zoho: Session
) -> None:
    documents = zoho.books.documents
    assert (await documents.list()).rows == []
    made = await documents.upload(**{field: Upload("photo.png", PNG)})  # type: ignore[arg-type]  # one file
    assert made.documents is not None
    (row,) = (await documents.list()).rows
    assert (row.document_id, row.file_name) == (made.documents[0].document_id, "photo.png")
    assert (row.file_type, row.file_size) == ("png", len(PNG))
    assert row.document_id is not None
    assert await documents.download(row.document_id).read() == PNG
    await documents.delete(row.document_id)
    with pytest.raises(NotFound):
        await documents.download(row.document_id).read()
    assert (await documents.list()).rows == []


async def test_an_upload_without_a_file_is_refused(zoho: Session) -> None:
    with pytest.raises(ZohoError, match="attachment"):
        await zoho.books.documents.upload(document_name="nothing")


async def test_inventory_downloads_what_was_uploaded(zoho: Session) -> None:
    made = await zoho.inventory.documents.upload(attachment=Upload("a.pdf", PDF))
    assert made.documents is not None
    number = made.documents[0].document_id
    assert number is not None
    assert await zoho.inventory.documents.download(number).read() == PDF


@pytest.mark.parametrize("resource", ["bills", "contacts", "invoices", "expenses"])
async def test_all_attachments_of_a_record_are_downloaded(
    resource: str, sandbox: Sandbox, zoho: Session
) -> None:
    calls = getattr(zoho.books, resource)
    rows = sandbox.store().collection(f"books.{resource}")
    number = rows.id(rows.indexes()[0])
    assert attachments(zoho.books.documents.download, await calls.get(number)) == []
    for name, content in (("a.pdf", PDF), ("b.png", PNG)):
        await calls.add_attachment(number, attachment=Upload(name, content))
    found = attachments(zoho.books.documents.download, await calls.get(number))
    assert [each.file_name for each in found] == ["a.pdf", "b.png"]
    assert [await each.file.read() for each in found] == [PDF, PNG]


# -- lookups, webhooks, functions -------------------------------------------------------------


async def test_a_webhook_is_created_read_changed_and_deleted(zoho: Session) -> None:
    webhooks = zoho.books.webhooks
    made = await webhooks.create(WebhookCreate(url="https://example.com/a", webhook_name="Paid"))
    assert made.webhook_id is not None
    await webhooks.update(made.webhook_id, WebhookInput(url="https://example.com/b"))
    assert (await webhooks.get(made.webhook_id)).url == "https://example.com/b"
    assert made.webhook_id in [each.webhook_id for each in (await webhooks.list()).rows]
    await webhooks.delete(made.webhook_id)
    with pytest.raises(NotFound):
        await webhooks.get(made.webhook_id)


async def test_a_trial_of_a_function_does_not_change_it(zoho: Session) -> None:
    functions = zoho.books.custom_functions
    made = await functions.create(CustomFunctionInput(function_name="Tally", script="info 1;"))
    number = made.customfunction_id
    assert number is not None
    trial = CustomFunctionInput(script="info 2;", sample_param={"invoice_id": "1"})
    result = await functions.execute_trial(number, trial)
    assert result.args == {"invoice_id": "1"}
    (kept,) = [each for each in (await functions.list()).rows if each.customfunction_id == number]
    assert kept.script == "info 1;"
    await functions.update(number, CustomFunctionInput(script="info 3;"))
    (kept,) = [each for each in (await functions.list()).rows if each.customfunction_id == number]
    assert kept.script == "info 3;"


async def test_a_custom_field_is_listed_after_it_was_created(zoho: Session) -> None:
    fields = zoho.books.custom_fields
    made = await fields.create(FieldDefinitionInput(entity="item", label="Color", data_type="text"))
    with pytest.warns(UnconfirmedFilter, match="entity"):  # rows do not say their entity
        rows = (await fields.list(entity="item")).rows
    assert made.customfield_id in [each.customfield_id for each in rows]


def test_operations_that_run_code_say_so() -> None:
    runs = [
        custom_functions.execute_trial,
        custom_triggers.execute,
        workflows.execute,
        workflows.execute_action,
    ]
    assert all("really run" in (each.__doc__ or "") for each in runs)
    named = {each.name for each in _functions() if "execute" in each.name}
    assert len(named) == 2 * len(runs)


# -- scopes -----------------------------------------------------------------------------------


def test_scopes_of_reports_are_not_those_of_accountants() -> None:
    assert scopes_for(["reports.profit_and_loss"]) == ["ZohoBooks.reports.READ"]
    assert "ZohoBooks.documents.READ" in scopes_for(["documents"])
    written = scopes_for(["webhooks"], write=True)
    assert written == [
        f"ZohoBooks.settings.{verb}" for verb in ("CREATE", "DELETE", "READ", "UPDATE")
    ]
    assert "ZohoBooks.reports.READ" not in scopes_for(["journals"], write=True)


async def test_reports_need_their_own_scope(zoho: Session, sandbox: Sandbox) -> None:
    sandbox.tokens.scope = "ZohoBooks.accountants.READ,ZohoBooks.settings.READ"
    with pytest.raises(MissingScope, match=r"ZohoBooks\.reports\.READ"):
        await zoho.books.reports.receivable_summary()
    with pytest.raises(MissingScope, match=r"ZohoBooks\.documents\.READ"):
        await zoho.books.documents.list()
    await zoho.books.preferences.get()


# -- export -----------------------------------------------------------------------------------


async def test_lookups_are_exported_as_other_lists(
    zoho: Session, sandbox: Sandbox, tmp_path: Path
) -> None:
    names = ["salespersons", "webhooks", "email_templates", "inventory.warehouses"]
    async with Export(zoho, names, to=tmp_path) as job:
        summary = await job.wait()
    files = {each.resource: each.file for each in summary.resources}
    assert all(each.rows == 25 for each in summary.resources), summary
    assert len(files) == len(names)
    lines = await anyio.Path(files["books.salespersons"]).read_text("utf-8")
    rows = [json.loads(line) for line in lines.splitlines()]
    asked = (await zoho.books.salespersons.list()).rows
    assert {row["salesperson_id"] for row in rows} == {each.salesperson_id for each in asked}


def test_an_export_of_everything_leaves_observed_lists_to_those_who_name_them() -> None:
    known = exportable()
    everything = resolve([], known)
    assert not any(each.evidence for each in everything)
    assert "books.contacts" in {each.resource for each in everything}
    (named,) = resolve(["salespersons"], known)
    assert named.evidence
