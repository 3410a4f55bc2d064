"""Every fault against every kind of operation, and the table of outcomes.

Each cell is one operation on a fresh sandbox whose rule affects one request, or every request. The
cell checks what the *server* counted: a value is correct, a write happened as often as the outcome
allows, and no slot of the limits and no connection stays in use.

``python -m tests.wire.matrix`` writes the table to docs/faults.md; a test compares the two.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias
from unittest.mock import patch

import msgspec

from zoho_async import Credentials, Limits, Session, Upload
from zoho_async.books import contacts, invoices
from zoho_async.books.contacts import ContactCreate
from zoho_async.errors import AmbiguousWrite, ZohoError
from zoho_async.export import Export, ResourceFailed
from zoho_async.http import transport
from zoho_async.http.retry import Policy
from zoho_async.limits import MemoryLedger
from zoho_async.sandbox import FAULTS, Fault, Sandbox
from zoho_async.sandbox.data.schemas import schemas

DOCS: Final = Path(__file__).parents[2] / "docs" / "faults.md"
PDF: Final = b"%PDF-1.4\n" + bytes(range(256)) * 4 + b"\n%%EOF"
MINUTE: Final = 1.0
LINGER: Final = 0.05
#: The most bytes of a reply that the client reads in this run, instead of its real limit.
FLOOD: Final = 1_000_000
SIZES: Final = {"contacts": 30, "invoices": 5}

Column: TypeAlias = Literal["read", "list", "write", "upload", "download", "refresh", "export"]
COLUMNS: Final[tuple[Column, ...]] = (
    *("read", "list", "write", "upload", "download", "refresh", "export"),
)
_WHERE: Final[dict[Column, tuple[str, str]]] = {
    "read": ("GET", "*/invoices/*"),
    "list": ("GET", "*/contacts"),
    "write": ("POST", "*/contacts"),
    "upload": ("POST", "*/attachment"),
    "download": ("GET", "*/invoices/*"),
    "refresh": ("POST", "/oauth/v2/token"),
    "export": ("GET", "*/contacts"),
}
_PAGES: Final = {"last_page", "always_more", "no_total", "repeat_rows", "shifted_rows"}
_TOKENS: Final = {"dead_token", "unknown_token", "revoked_grant"}
_GRANTS: Final = {"denied_grant", "throttled_grant"}
_CODES: Final = {"code", "refuse"}
_WRITES: Final = {"write", "upload"}
#: After these outcomes the same session must work again at once.
_PASSING: Final = {"AmbiguousWrite", "ConnectionBroken", "UnreadableReply", "ServerError"}
_DONE: Final = {"value", "empty record"}


class Row(msgspec.Struct, frozen=True):
    """A fault with its title in the table. ``columns`` are those in which it can act."""

    title: str
    make: Callable[[Column, bool], Fault]
    columns: tuple[Column, ...]


def _row(kind: str, note: str = "", **fields: Any) -> Row:
    def make(column: Column, always: bool) -> Fault:
        method, path = _WHERE[column]
        # moved rows stay moved
        times = None if always or kind == "shifted_rows" else 1
        rule = {"kind": kind, "method": method, "path": path, "times": times}
        # a later page is the harder case, because rows before it could be lost
        later = column in ("list", "export") and kind in (*_PAGES, "empty", "cut", "odd")
        return msgspec.convert(rule | {"after": 1 if later else 0} | fields, Fault)

    return Row(f"`{kind}`{note}", make, tuple(_columns(kind)))


def _columns(kind: str) -> Iterable[Column]:
    """The columns in which a fault can act and, for a document, can be detected."""
    for column in COLUMNS:
        if kind in _PAGES and column not in ("list", "export"):
            continue
        if kind == "odd" and column not in ("read", "list", "export"):
            continue
        if kind in _GRANTS and column != "refresh":
            continue
        if kind in _TOKENS | _CODES and column == "refresh":
            continue
        if column == "download" and kind in ("cut", "wrong_type", "byte_order_mark"):
            continue
        yield column


ROWS: Final = (
    *(_row(kind) for kind in ("drop_unread", "drop_undone", "drop", "reset_undone", "reset")),
    _row("broken_body"),
    _row("silent", seconds=0.3),
    _row("slow", seconds=0.1),
    _row("endless"),
    _row("status"),
    _row("status", " 503", status=503),
    _row("status_html"),
    _row("status", " 501", status=501),
    _row("status", " 521", status=521),
    _row("status", " 408", status=408),
    _row("status_done"),
    _row("status_html_done"),
    _row("status_html_done", " 404", status=404),
    _row("code", " of the resource with HTTP 500", code=1002, status=500),
    _row("code", " as a word with HTTP 200", code="error", status=200),
    _row("code", " 1000 with HTTP 200", code=1000),
    _row("code", " 1000 with HTTP 400", code=1000, status=400),
    _row("code", " 57 with HTTP 401", code=57, status=401),
    _row("code", " 57 as text with HTTP 200", code="57"),
    _row("refuse", " 44", code=44, retry_after=1),
    _row("refuse", " 43 as text", code="43", retry_after=1),
    _row("refuse", " 45, calls left", code=45, retry_after=1),
    _row("refuse", " 1070", code=1070),
    _row("refuse", " 44 with HTTP 400", code=44, status=400, retry_after=1),
    *(_row(kind) for kind in ("redirect", "empty", "cut", "html", "wrong_type")),
    _row("wrong_type", ", text", value="none"),
    _row("wrong_type", ", all of it", field="*", value=["?"]),
    _row("wrong_content_type"),
    *(_row(kind) for kind in ("bad_gzip", "cut_gzip", "byte_order_mark", "no_content", "stray")),
    _row("odd", " total", field="total", value="a lot"),
    *(_row(kind) for kind in ("last_page", "always_more", "no_total")),
    _row("repeat_rows", rows=3),
    _row("shifted_rows", rows=3),
    *(_row(kind) for kind in ("dead_token", "unknown_token", "revoked_grant", "wrong_region")),
    *(_row(kind) for kind in ("denied_grant", "throttled_grant")),
)
#: The rows of the second table: a refusal of every request would never end.
LASTING: Final = tuple(row for row in ROWS if "refuse" not in row.title)


class Cell:
    """One operation on one sandbox. ``box`` has what the server counted."""

    def __init__(self, box: Sandbox, zoho: Session, folder: Path) -> None:
        self.box = box
        self.zoho = zoho
        self.folder = folder
        self.odd = any(fault.kind == "odd" for fault in box.faults)

    @property
    def invoice_id(self) -> str:
        return self.ids("invoices", "invoice_id")[1]

    def ids(self, resource: str, name: str) -> list[str]:
        return [msgspec.json.decode(row)[name] for row in self.box.truth(resource)]

    async def read(self) -> str:
        record = await invoices.get(self.zoho, self.invoice_id)
        if record.invoice_number is None:
            assert record.extra["invoice"] == self.box.faults[0].value
            return "empty record"
        truth = self.box.store().collection("invoices")
        index = truth.find(self.invoice_id)
        assert index is not None
        assert record.invoice_number == truth.detail(index)["invoice_number"]
        if self.odd and self.box.faults[0].hits:
            assert record.total is None
            assert record.extra["total"] == "a lot"
        else:
            assert record.total is not None
        return "value"

    async def list(self) -> None:
        got = [row.contact_id async for row in contacts.list(self.zoho, per_page=10)]
        assert len(got) == len(set(got)), "a row is repeated"
        assert sorted(map(str, got)) == sorted(self.ids("contacts", "contact_id")), "a row is lost"

    async def write(self) -> str:
        made = await contacts.create(self.zoho, ContactCreate(contact_name="Only Once"))
        if made.contact_name is None:
            assert not made.contact_id
            assert made.extra or self.box.faults[0].kind == "no_content"
            return "empty record"
        assert made.contact_name == "Only Once"
        return "value"

    async def upload(self) -> None:
        await invoices.add_attachment(
            self.zoho, self.invoice_id, attachment=Upload("receipt.pdf", PDF)
        )

    async def download(self) -> None:
        whole = await invoices.get_pdf(self.zoho, self.invoice_id).read()
        self.box.faults.clear()
        assert whole == await invoices.get_pdf(self.zoho, self.invoice_id).read()
        assert whole.startswith(b"%PDF-")

    async def refresh(self) -> str:
        return await self.read()

    async def export(self) -> None:
        async with Export(self.zoho, ["contacts"], to=self.folder) as job:
            async for event in job:
                if isinstance(event, ResourceFailed):
                    raise event.error
        rows = (self.folder / "books" / "contacts.jsonl").read_bytes().splitlines()
        if self.odd:
            rows = [_without_total(row) for row in rows]
        assert sorted(rows) == sorted(self.box.truth("contacts")), "the file is not the list"

    def done(self, column: Column) -> int:
        """How often the server did the write of the column."""
        if column == "upload":
            return self._uploaded()
        return sum(b"Only Once" in row for row in self.box.truth("contacts"))

    def _uploaded(self) -> int:
        """How many of the invoice's documents equal the uploaded file."""
        store, above = self.box.store(), f"/invoices/{self.invoice_id}/documents"
        schema = schemas("books").at("/invoices/{invoice_id}/documents")
        assert schema is not None
        documents = store.at(schema, (self.invoice_id,))
        ids = [documents.id(index) for index in documents.indexes()]
        files = [store.file("books", f"{above}/{each}") for each in ids]
        return sum(file is not None and file.content == PDF for file in files)


def _without_total(row: bytes) -> bytes:
    return row.replace(b',"total":"a lot"', b"")


async def outcome(row: Row, column: Column, *, always: bool) -> str:
    """The outcome: ``value``, or the exception's name. Asserts what the server counted."""
    async with _cell(row.make(column, always), column) as cell:
        try:
            async with asyncio.timeout(30):
                result = await getattr(cell, column)() or "value"
        except ZohoError as error:
            result = type(error).__name__
            ambiguous = isinstance(error, AmbiguousWrite)
        else:
            ambiguous = False
        if column in _WRITES:
            done, wanted = cell.done(column), {1} if result in _DONE else {0}
            assert done in (wanted | {0, 1} if ambiguous else wanted), (
                f"{result}, done {done} times"
            )
        # a call without a reply keeps its slot while it may still be in transit
        async with asyncio.timeout(10):
            while True:
                snapshot = await cell.zoho.snapshot()
                if not snapshot.in_flight:
                    break
                await asyncio.sleep(LINGER / 2)
        assert not any(snapshot.waiting.values()), "a caller is still waiting"
        if result in _PASSING:
            cell.box.faults.clear()
            await cell.read()
        return result


@asynccontextmanager
async def _cell(fault: Fault, column: Column) -> AsyncGenerator[Cell]:
    sizes = SIZES | ({"contacts": 450} if column == "export" else {})
    box = Sandbox(sizes=sizes, minute=MINUTE, faults=[fault])
    async with box:
        session = Session(
            Credentials.from_env(box.environment()),
            organization=box.organization,
            api_url=box.url,
            accounts_url=box.accounts_url,
            limits=Limits(window=MINUTE, linger=LINGER),
            ledger=MemoryLedger(),
            retry=Policy(base=0.0),
        )
        with tempfile.TemporaryDirectory() as folder:
            async with session as zoho:
                yield Cell(box, zoho, Path(folder))
        async with asyncio.timeout(10):
            while box.connections:  # noqa: ASYNC110 # aiohttp reports no closed connections
                await asyncio.sleep(0.005)


async def outcomes(columns: Sequence[Column] = COLUMNS) -> tuple[list[list[str]], list[list[str]]]:
    """Run the cells of some columns: each row with one request affected, then with every request.

    The second list is of the rows `LASTING`.
    """
    before = asyncio.all_tasks()
    turns = asyncio.Semaphore(8)

    async def one(row: Row, column: Column, *, always: bool) -> str:
        if column not in row.columns:
            return ""
        async with turns:
            try:
                return await outcome(row, column, always=always)
            except Exception as problem:
                problem.add_note(f"{row.title} x {column}, {'always' if always else 'once'}")
                raise

    async def line(row: Row, *, always: bool) -> list[str]:
        return list(await asyncio.gather(*(one(row, each, always=always) for each in columns)))

    with patch.object(transport, "MOST_BYTES", FLOOD):
        once = await asyncio.gather(*(line(row, always=False) for row in ROWS))
        always = await asyncio.gather(*(line(row, always=True) for row in LASTING))
    await asyncio.sleep(0)
    left = {task.get_name() for task in asyncio.all_tasks() - before}
    assert not left, f"tasks were left: {left}"
    return once, always


async def table() -> str:
    """Run the matrix and return the text of docs/faults.md."""
    once, always = await outcomes()
    kinds = "\n".join(
        f"| `{kind}` | {about.when} | {about.effect} |" for kind, about in FAULTS.items()
    )
    return _DOCS.format(
        kinds=kinds,
        once=_lines(ROWS, once),
        always=_lines(LASTING, always),
        columns=" | ".join(COLUMNS),
        rule="|---" * (len(COLUMNS) + 1) + "|",
    )


def _lines(rows: Sequence[Row], result: Sequence[Sequence[str]]) -> str:
    return "\n".join(
        f"| {row.title} | {' | '.join(line)} |" for row, line in zip(rows, result, strict=True)
    )


_DOCS: Final = """# Faults, and how a client handles them

The sandbox makes requests fail on demand. A rule says what goes wrong (`kind`), for which requests,
and how often:

- `path` is a glob for the URL's path. `*` matches the API, `/oauth/*` the accounts server.
- `organization` is the id that the request names. A subscription that is over is a rule with
  `kind="code"`, `organization` and `times=None`; a module that is switched off has a `path` too.
- `method` is an HTTP method, or `*`.
- `after` matching requests pass first. Then `times` requests are affected (1 by default; `"always"`
  in TOML, `null` in JSON and `None` in Python affect all).
- Each is affected with `probability` (1 by default).
- The rule ends `lasts` seconds after its first match.

```python
from zoho_async.sandbox import Fault, Sandbox

async with Sandbox(faults=[Fault(kind="status", status=503, path="*/invoices", times=2)]) as box:
    box.faults.append(Fault(kind="drop", method="POST", probability=0.1, times=None))
```

```toml
# zoho-async sandbox --faults faults.toml
[[fault]]
kind = "status"
status = 503
path = "*/invoices"
probability = 0.05
times = "always"
```

```bash
# while the sandbox runs
curl -d '{{"kind": "refuse", "code": 43, "retry_after": 60}}' http://127.0.0.1:8080/__sandbox__/faults
curl http://127.0.0.1:8080/__sandbox__/faults
curl -X DELETE http://127.0.0.1:8080/__sandbox__/faults
```

## Kinds

A fault acts at one of three moments, which decides what a client may conclude: *before* the request
counts, *instead* of the work (it did not happen), or *after* the work (it happened, but the client
cannot know).

| kind | acts | effect |
|---|---|---|
{kinds}

## How this client handles each fault

A test runs every fault against every kind of operation and checks what the server counted:

- A *value* is the correct one, with every row once.
- An *empty record* has no values in its fields. What Zoho sent is in its `extra`.
- A write that returned happened once. A write that raised `AmbiguousWrite` happened once or not at
  all. A write that raised anything else did not happen.
- Afterwards no slot of the limits, no connection and no task stays in use, and the session still
  works.
- An empty cell means that the fault cannot act there, or that a client cannot detect it (half of a
  document of unknown length).

The status of a reply to a write, and Zoho's code in it, decide the outcome:

| reply to a write | outcome |
|---|---|
| 4xx with JSON and a code above 0, or a word as its code (not 408, 499) | error, did not run |
| 2xx with a code above 0, or a word as its code | error, did not run |
| 429 with JSON | refused before it ran, repeated after the block |
| 501, 505, 521, 523, 525, 526 | error, did not run |
| 5xx with JSON and a code from the resource's own table (not 1000) | error, did not run |
| every other 5xx, 408, 499, a redirect, not JSON, an unreadable 2xx | `AmbiguousWrite` |
| 204 without a body | done |

`AmbiguousWrite` has the `status` and `code` of the reply. A 4xx with JSON but without a code also
raises it, because it does not say whether the write ran.

A write that may be sent twice (an upsert, or `retry_writes=True`) is retried like a read. It raises
`AmbiguousWrite` if the retries are used up or end in a refusal, and one of the tries may have run.

A read is retried after 500, 502, 503, 504, 520 to 529, 408 and 499, after a 2xx that cannot be
read, and after the block for 429. The wait is that of `Retry-After` if `max_wait` allows it;
otherwise the error is raised at once. Nothing else is retried: 501 and 505 would repeat.

One request is affected:

| fault | {columns} |
{rule}
{once}

Every request is affected:

| fault | {columns} |
{rule}
{always}
"""


if __name__ == "__main__":
    DOCS.parent.mkdir(exist_ok=True)
    DOCS.write_text(asyncio.run(table()), encoding="utf-8")
