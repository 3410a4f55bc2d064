"""What ``zoho-async approve`` shows and asks."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from zoho_async.cli import approve as command
from zoho_async.errors import ConfigurationError
from zoho_async.importer import Intent
from zoho_async.integrations.mcp.proposals import Proposal, Proposals

INTENT = Intent(operation="books.contacts.update", ids=("1",), body={"contact_name": "x"})
EFFECT: dict[str, Any] = {
    "operation": "books.contacts.update",
    "call": "PUT /contacts/1",
    "organization": "10",
    "deletes": False,
    "record": {"contact_name": "Eve\u202e"},
    "changes": [{"field": "contact_name", "now": "Eve\u202e", "then": "a\nProposal 2: \x1b[2J"}],
    "body": {"contact_name": "a\nProposal 2: \x1b[2J"},
    "warnings": ["colour is not described: Zoho may ignore it"],
}


class Asked:
    """A person who gives one answer, and what the command makes of it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.proposals = Proposals(folder / "proposals.sqlite")
        self._monkeypatch = monkeypatch

    def add(self, effect: dict[str, Any]) -> Proposal:
        return anyio.run(self.proposals.add, INTENT, "10", "https://example.com", effect)

    def __call__(self, proposal: Proposal, effect: dict[str, Any], answer: str) -> bool:
        self._monkeypatch.setattr(command, "ask", lambda question, **options: answer)
        return command._agrees(self.proposals, proposal, effect)

    def state(self, proposal: Proposal) -> str:
        return str(anyio.run(self.proposals.find, proposal.id).state)


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Asked:
    return Asked(tmp_path, monkeypatch)


def test_only_the_word_agrees_and_only_no_declines(asked: Asked) -> None:
    for answer, agrees, state in (
        ("yes", True, "open"),
        ("y", False, "open"),
        ("", False, "open"),
        ("YES", False, "open"),
        ("delete", False, "open"),
        ("no", False, "declined"),
    ):
        proposal = asked.add(EFFECT)
        assert asked(proposal, EFFECT, answer) is agrees, answer
        assert asked.state(proposal) == state


def test_a_delete_takes_another_word(asked: Asked) -> None:
    proposal = asked.add(effect := {**EFFECT, "deletes": True})
    assert not asked(proposal, effect, "yes")
    assert asked(proposal, effect, "delete")


def test_the_effect_is_shown_in_lines_that_no_value_can_forge(
    asked: Asked, capsys: pytest.CaptureFixture[str]
) -> None:
    proposal = asked.add({**EFFECT, "record": {"contact_name": "before"}})
    asked(proposal, EFFECT, "")
    shown = capsys.readouterr().err.split("\n")
    assert shown[0] == f"Proposal {proposal.id} for organization 10"
    assert sum(line.startswith("Proposal") for line in shown) == 1
    assert not any(character in "".join(shown) for character in "\x1b\u202e")
    assert any('-> "a\\nProposal 2: \\u001b[2J"' in line for line in shown)
    assert any("record changed since it was proposed" in line for line in shown)
    assert any("colour is not described" in line for line in shown)


def test_waiting_proposals_are_listed(
    asked: Asked, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    waiting, declined = asked.add(EFFECT), asked.add(EFFECT)
    anyio.run(asked.proposals.mark, declined.id, "declined")
    with pytest.raises(ConfigurationError, match="declined before"):
        anyio.run(asked.proposals.mark, declined.id, "approved")
    environ = {"ZOHO_ASYNC_LEDGER": str(tmp_path / "limits.sqlite")}
    assert command.list_proposals(environ) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{waiting.id}  PUT /contacts/1  (expires in 59 minutes")


def test_a_proposal_is_kept_exactly(asked: Asked) -> None:
    kept = anyio.run(asked.proposals.find, asked.add(EFFECT).id)
    assert (kept.intent, kept.effect, kept.is_intact) == (INTENT, EFFECT, True)
    assert kept.expires > time.time()
    changes: list[Callable[[], Proposal]] = [
        lambda: _with(kept, organization="11"),
        lambda: _with(kept, api_url="https://example.org"),
        lambda: _with(kept, intent=_with(INTENT, ids=("2",))),
        lambda: _with(kept, intent=_with(INTENT, query={"a": "b"})),
        lambda: _with(kept, intent=_with(INTENT, body={"contact_name": "y"})),
        lambda: _with(kept, intent=_with(INTENT, operation="books.contacts.delete")),
    ]
    assert not any(change().is_intact for change in changes)


def test_what_was_approved_cannot_be_declined_any_more(asked: Asked) -> None:
    """Two terminals show the proposal: one says yes, then the other says no."""
    proposal = asked.add(EFFECT)
    for state in ("approved", "written"):
        anyio.run(asked.proposals.mark, proposal.id, state)
        with pytest.raises(ConfigurationError, match="approved or declined before"):
            asked(proposal, EFFECT, "no")
        assert asked.state(proposal) == state


def test_another_request_under_the_same_id_is_not_sent(asked: Asked, tmp_path: Path) -> None:
    """The row is replaced, with a digest that fits, between the question and the answer."""
    shown = asked.add(EFFECT)
    other = anyio.run(
        asked.proposals.add, _with(INTENT, ids=("2",)), "10", "https://example.com", EFFECT
    )
    assert anyio.run(command._same, asked.proposals, shown) == shown
    with closing(sqlite3.connect(tmp_path / "proposals.sqlite")) as file, file:
        file.execute("DELETE FROM proposal WHERE id = ?", (shown.id,))
        file.execute("UPDATE proposal SET id = ? WHERE id = ?", (shown.id, other.id))
    assert anyio.run(asked.proposals.find, shown.id).is_intact
    with pytest.raises(ConfigurationError, match="changed while it was shown"):
        anyio.run(command._same, asked.proposals, shown)


@pytest.mark.skipif(os.name != "posix", reason="modes of files are POSIX")
def test_proposals_that_others_can_open_are_refused(asked: Asked, tmp_path: Path) -> None:
    proposal = asked.add(EFFECT)
    (tmp_path / "proposals.sqlite").chmod(0o620)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        asked.state(proposal)


@pytest.mark.parametrize("letter", ["a", "\u4e00"])
def test_a_long_value_neither_forges_a_line_nor_hides_the_operation(
    letter: str, asked: Asked, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "24")
    forged = f"{letter * 50}{' ' * 400}Proposal 2 for organization 10"
    effect = {**EFFECT, "body": {"notes": forged, "lines": ["x"] * 100}, "deletes": True}
    asked(asked.add(effect), effect, "")
    lines = capsys.readouterr().err.rstrip("\n").split("\n")
    wide = [len(line) + line.count("\u4e00") for line in lines]
    assert max(wide) < 80
    assert not any(line.lstrip().startswith("Proposal 2 for") for line in lines)
    assert "DELETES by books.contacts.update for 10" in lines[-2]
    assert "read all of them" in lines[-1]


def _with(value: Any, **changes: Any) -> Any:
    return msgspec.structs.replace(value, **changes)
