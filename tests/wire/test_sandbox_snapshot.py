"""Snapshots of a sandbox: what is saved, and what a foreign file can do."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.sandbox_command import order, serving
from zoho_async import Session, Upload
from zoho_async.cli.sandbox import build
from zoho_async.errors import ConfigurationError, NotFound
from zoho_async.limits import MemoryLedger
from zoho_async.sandbox import Sandbox

SIZES = {"books.contacts": 3, "books.invoices": 2, "books.projects": 3}
PDF = b"%PDF-1.4\n\xff\xfe\x00 not UTF-8"


def session(box: Sandbox, organization: str | None = None) -> Session:
    return Session.from_env(
        box.environment() | {"ZOHO_ORGANIZATION_ID": organization or box.organization},
        ledger=MemoryLedger(),
    )


async def changed(file: Path) -> tuple[str, str]:
    """Write, change and delete in a sandbox, save it, and return ids of a record and a firm."""
    day = 1_767_625_200.0
    async with Sandbox(seed=9, sizes=SIZES, wall_clock=lambda: day) as box, session(box) as zoho:
        project = (await zoho.books.projects.list()).rows[0].project_id
        await zoho.request("DELETE", f"/projects/{project}")
        made = await zoho.request("POST", "/contacts", body={"contact_name": "Zoë\u2028 & Sons"})
        contact = str(made["contact"]["contact_id"])
        invoice = (await zoho.books.invoices.list(per_page=1)).rows[0].invoice_id
        assert invoice is not None
        await zoho.books.invoices.add_attachment(invoice, attachment=Upload("a.pdf", PDF))
        firm = await zoho.request(
            "POST",
            "/organizations",
            body={"name": "Second", "portal_name": "second", "currency_code": "EUR"}
            | {"time_zone": "UTC"},
        )
        box.save_snapshot(file)
        return contact, str(firm["organization"]["organization_id"])


async def test_a_snapshot_brings_every_record_to_another_sandbox(tmp_path: Path) -> None:
    file, again = tmp_path / "books.jsonl", tmp_path / "again.jsonl"
    contact, firm = await changed(file)
    async with Sandbox(snapshot=file) as box, session(box) as zoho:
        assert box.organizations == ("10234695", firm)
        names = [row.contact_name async for row in zoho.books.contacts.list()]
        assert len(names) == 4
        assert len((await zoho.books.projects.list()).rows) == 2
        assert "Zoë\u2028 & Sons" in names
        assert (await zoho.books.contacts.get(contact)).contact_name == "Zoë\u2028 & Sons"
        invoice = (await zoho.books.invoices.list(per_page=1)).rows[0].invoice_id
        assert invoice is not None
        document = zoho.books.invoices.get_attachment(invoice)
        assert await document.read() == PDF
        box.save_snapshot(again)
        await zoho.request("DELETE", f"/contacts/{contact}")
        with pytest.raises(NotFound):
            await zoho.books.contacts.get(contact)
    assert again.read_bytes() == file.read_bytes()  # the loaded file is not changed


def line(place: str, item: str, text: str) -> bytes:
    return json.dumps({"place": place, "item": item, "text": text}).encode()


def with_line(entry: bytes) -> Callable[[list[bytes]], list[bytes]]:
    def change(lines: list[bytes]) -> list[bytes]:
        header = json.loads(lines[0])
        return [json.dumps(header | {"entries": len(lines)}).encode(), *lines[1:], entry]

    return change


def with_header(**changes: Any) -> Callable[[list[bytes]], list[bytes]]:
    return lambda lines: [json.dumps(json.loads(lines[0]) | changes).encode(), *lines[1:]]


DAMAGE: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "empty": lambda lines: [],
    "no snapshot": lambda lines: [b'{"format": "other"}'],
    "a pickle": lambda lines: [b"\x80\x04\x95\x00"],
    "cut off": lambda lines: lines[:-1],
    "cut within a line": lambda lines: [*lines[:-1], lines[-1][:-4]],
    "a later version": with_header(version=2),
    "an unknown key": with_header(run="rm -rf /"),
    "no organization": with_header(organizations=[]),
    "an organization that is a path": with_header(organizations=["../1"]),
    "sizes for all memory": with_header(sizes={"books.contacts": 10**12}),
    "a record number for all memory": with_line(line("1/books.contacts", "9" * 12, "{}")),
    "a record number beyond int": with_line(line("1/books.contacts", "9" * 5000, "{}")),
    "a record number in another script": with_line(line("1/books.contacts", "\u0661", "{}")),
    "a record that is no object": with_line(line("1/books.contacts", "1", "[]")),
    "a record of endless depth": with_line(line("1/books.contacts", "1", "[" * 200_000)),
    "an uploaded file that is not one": with_line(line("1/files", "books/x", "text")),
    "neither text nor bytes": with_line(b'{"place": "1/books.contacts", "item": "1"}'),
    "a place that no sandbox has": with_line(line("elsewhere", "x", "{}")),
    "an organization without currency": with_line(line("organizations", "5", "{}")),
    "an organization that is a name": with_line(
        line("organizations", "../5", '{"currency_code": "EUR"}')
    ),
    "a day before all calendars": with_line(line("sample", "day", "0001-01-01")),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_file_that_is_not_a_whole_snapshot_is_refused(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "books.jsonl"
    Sandbox(sizes=SIZES).save_snapshot(file)
    file.write_bytes(b"\n".join(DAMAGE[kind](file.read_bytes().splitlines())))
    with pytest.raises(ConfigurationError, match=r"books\.jsonl") as caught:
        Sandbox(snapshot=file)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_snapshot_that_cannot_be_saved_leaves_the_earlier_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "books.jsonl"
    Sandbox().save_snapshot(file)
    before = file.read_bytes()

    def full(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space"):
        Sandbox(seed=2).save_snapshot(file)
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["books.jsonl"]


def test_the_command_saves_at_its_end_and_loads_at_its_start(tmp_path: Path) -> None:
    file = tmp_path / "books.jsonl"
    with serving("--snapshot", str(file), "--seed", "3") as (_, process):
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate(timeout=100)
    assert process.returncode == 0
    assert told.endswith(f"sandbox stopped\nsaved {file}\n")
    assert build(order(snapshot=file)).seed == 3
    with pytest.raises(ConfigurationError, match="either file or snapshot"):
        Sandbox(snapshot=file, file=tmp_path / "x.sqlite")
