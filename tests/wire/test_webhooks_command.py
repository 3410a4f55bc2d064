"""`zoho-async webhooks` against a server that ends it at every call, and against the sandbox."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import Callable, Coroutine, Generator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.judges.raw_http import Reply, Request, Server, is_token_request, token_reply
from tests.support.command import Command, serving
from tests.support.raw_session import connected
from zoho_async.errors import AmbiguousWrite
from zoho_async.sandbox import Sandbox
from zoho_async.webhooks.install import (
    InstallRefused,
    Step,
    hooks,
    install,
    installed,
    plan,
    removable,
    remove,
)

URL: Final = "https://example.com/hooks"
INSTALL: Final = ("webhooks", "install", "--url", URL, "--module", "invoices")
SECRET: Final = "Secret1234567890"


class SettingsServer:
    """Keeps webhooks and rules. Its lists show what is certain, and not all fields of a record.

    At call ``ends_at`` it calls ``end``, before or after the work, and does not answer.
    """

    def __init__(self) -> None:
        self.kept: dict[str, dict[str, dict[str, Any]]] = {"webhooks": {}, "workflows": {}}
        self.calls: list[tuple[str, str]] = []
        self.ends_at = 0
        self.works_first = False
        self.names_key = True
        self.end: Callable[[], object] = lambda: None
        #: Replies instead of the usual ones, by method and kind.
        self.replies: dict[tuple[str, str], Reply] = {}

    def writes(self) -> list[tuple[str, str]]:
        return [call for call in self.calls if call[0] != "GET"]

    async def answer(self, request: Request) -> Reply | None:
        if is_token_request(request):
            return token_reply()
        self.calls.append((request.method, request.path))
        is_end = len(self.calls) == self.ends_at
        reply = None if is_end and not self.works_first else self._answer(request)
        if is_end:
            self.end()
            return None
        return reply

    def _answer(self, request: Request) -> Reply:
        kind, _, record_id = request.path.partition("/settings/")[2].partition("/")
        rows, single = self.kept[kind], kind.removesuffix("s")
        if (request.method, kind) in self.replies:
            return self.replies[request.method, kind]
        if request.method == "POST" and record_id.endswith("/active"):
            rows[record_id.removesuffix("/active")]["is_active"] = True
            return Reply(200, {"code": 0})
        if request.method == "POST":
            record_id = str(1000 * len(self.calls))
            rows[record_id] = json.loads(request.body) | {f"{single}_id": record_id}
            key = single if self.names_key else "other"
            return Reply(201, {"code": 0, key: self._shown(rows[record_id])})
        if record_id and record_id not in rows:
            return Reply(404, {"code": 1002, "message": "not found"})
        if request.method == "DELETE":
            used = [one for one in self.kept["workflows"].values() if record_id in str(one)]
            if kind == "webhooks" and used:
                return Reply(400, {"code": 4001, "message": "a rule uses this webhook"})
            del rows[record_id]
            return Reply(200, {"code": 0})
        if request.method == "PUT":
            rows[record_id] |= json.loads(request.body)
        if record_id:
            return Reply(200, {"code": 0, single: self._shown(rows[record_id])})
        names = (f"{single}_id", f"{single}_name", "url", "entity")
        listed = [
            {key: row[key] for key in names if key in row} | self._related(row)
            for row in rows.values()
        ]
        context = {"page": 1, "per_page": 200, "has_more_page": False}
        return Reply(200, {"code": 0, kind: listed, "page_context": context})

    def _related(self, row: dict[str, Any]) -> dict[str, Any]:
        if "webhook_id" not in row:
            return {}
        rules = self.kept["workflows"].values()
        used = [one["workflow_id"] for one in rules if row["webhook_id"] in str(one)]
        return {"related_rules": [{"workflow_id": each} for each in used]}

    @staticmethod
    def _shown(row: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in row.items() if key != "secret"}

    def check(self) -> None:
        """One webhook and one rule per name, and each rule sends its webhook."""
        webhooks, rules = self.kept["webhooks"], self.kept["workflows"]
        by_name = {one["webhook_name"]: key for key, one in webhooks.items()}
        sent = {one["workflow_name"]: one["instant_actions"] for one in rules.values()}
        assert len(by_name) == len(webhooks) == len(rules) == 3
        for name, webhook_id in by_name.items():
            assert sent[name] == [{"action_id": webhook_id, "action_type": "webhook"}]
            assert webhooks[webhook_id]["secret"] == SECRET


async def until(settings: SettingsServer, call: int, work: Coroutine[Any, Any, object]) -> bool:
    """Run ``work`` until ``call`` arrives, counted from now. Whether it ended before that."""
    task, loop = asyncio.create_task(work), asyncio.get_running_loop()
    settings.ends_at = len(settings.calls) + call
    settings.end = lambda: loop.call_soon_threadsafe(task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task
    settings.ends_at = 0
    return not task.cancelled()


WANTED: Final = [
    *hooks(URL, ["invoices"], ["created", "edited", "deleted"]),
    *hooks(URL, ["contacts"], ["created"]),
]


async def once(server: Server) -> list[Step]:
    async with connected(server) as zoho:
        steps = plan(WANTED, await installed(zoho))
        return await install(zoho, steps, secret=SECRET)


@pytest.mark.parametrize("works_first", [False, True])
async def test_an_installation_that_ends_at_any_call_is_completed_and_never_doubled(
    works_first: bool,
) -> None:
    has_ended, at = False, 0
    while not has_ended:
        at += 1
        settings = SettingsServer()
        settings.works_first = works_first
        with Server(settings.answer) as server:
            has_ended = await until(settings, at, once(server))
            done = await once(server)
            settings.check()
            assert all(step.webhook_id and step.rule_id for step in done)
            writes = len(settings.writes())
            await once(server)
            assert len(settings.writes()) == writes
    assert at == 9  # both lists, three webhooks and three rules


async def test_a_write_whose_reply_is_lost_is_looked_for_and_not_repeated() -> None:
    for at in range(3, 13):
        settings = SettingsServer()
        settings.ends_at, settings.works_first = at, True
        with Server(settings.answer) as server:
            await once(server)
            settings.check()
            assert len(settings.writes()) == 6
    settings = SettingsServer()
    settings.ends_at = 3
    with Server(settings.answer) as server:
        with pytest.raises(AmbiguousWrite):  # it is not there: perhaps Zoho shows it later
            await once(server)
        await once(server)
        settings.check()


async def test_a_reply_without_the_expected_key_is_no_failure() -> None:
    settings = SettingsServer()
    settings.names_key = False
    with Server(settings.answer) as server:
        await once(server)
        settings.check()


async def test_what_a_person_changed_is_mended_and_an_interrupted_removal_completed() -> None:
    for works_first in (False, True):
        settings = SettingsServer()
        with Server(settings.answer) as server:
            await once(server)
            webhooks, rules = settings.kept["webhooks"], settings.kept["workflows"]
            rule_ids = list(rules)
            del webhooks[next(iter(webhooks))]
            rules[rule_ids[1]]["is_active"] = False
            await once(server)
            settings.check()
            assert list(rules) == rule_ids
            assert rules[rule_ids[1]]["is_active"] is True
            settings.works_first = works_first

            async def remove_all() -> None:
                async with connected(server) as zoho:
                    await remove(zoho, removable(await installed(zoho), address=URL))

            has_ended, at = False, 0
            while not has_ended:
                at += 1
                has_ended = await until(settings, at, remove_all())
            assert settings.kept == {"webhooks": {}, "workflows": {}}


async def test_a_refusal_says_what_to_do() -> None:
    settings = SettingsServer()
    for kind, reply, message in (
        ("webhooks", Reply(400, {"code": 1038, "message": "Upgrade your plan"}), "Professional"),
        ("workflows", Reply(400, {"code": 9, "message": "10 rules"}), "10 of them per module"),
        ("workflows", Reply(401, {"code": 57, "message": "Not authorized"}), "login .*--write"),
    ):
        settings.replies = {("POST", kind): reply}
        with Server(settings.answer) as server, pytest.raises(InstallRefused, match=message):
            await once(server)
    settings.replies = {}
    with Server(settings.answer) as server:
        await once(server)
        settings.check()


# -- the command ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sandbox() -> Generator[Sandbox]:
    with serving(Sandbox(sizes={"invoices": 3, "contacts": 2, "items": 2})) as made:
        yield made


@pytest.fixture
def command(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """With its own place for secrets, and none in the environment."""
    monkeypatch.setenv("ZOHO_ASYNC_PROFILES", str(tmp_path / "profiles.json"))
    monkeypatch.delenv("ZOHO_WEBHOOK_SECRET", raising=False)
    return command


def test_install_list_and_remove(command: Command, tmp_path: Path) -> None:
    code, out, err = command(*INSTALL, "--dry-run")
    assert (code, out.count("POST http"), out.count('"secret":"***"')) == (0, 4, 2)
    assert not (tmp_path / "webhooks.json").exists()

    code, out, err = command(*INSTALL)
    assert code == 0
    assert re.findall(r"^(\w+): invoice (\w+), webhook \d+, rule \d+,", out, re.M) == [
        ("installed", "changed"),
        ("installed", "deleted"),
    ]
    assert "1,000 per day" in err
    (secret,) = json.loads((tmp_path / "webhooks.json").read_text())["secrets"].values()
    assert secret not in out + err

    code, out, _ = command(*INSTALL, "--json")
    told = json.loads(out)
    assert (code, told["changed"], len(told["webhooks"])) == (0, False, 2)
    code, out, err = command(*INSTALL, "--dry-run")
    assert (code, out, "nothing would be sent" in err) == (0, "", True)

    code, out, _ = command("webhooks", "list", "--output", "json")
    rows = [row for row in json.loads(out) if row["installed_by"] == "zoho-async"]
    assert {(row["module"], row["rule_type"]) for row in rows} == {
        ("invoice", "add_edit"),
        ("invoice", "delete"),
    }
    code, out, _ = command("webhooks", "list", "--output", "table")
    assert (code, "webhook_id" in out) == (0, True)

    assert command("webhooks", "remove", "--url", URL)[0] == 2  # there is no terminal to ask on
    code, out, _ = command("webhooks", "remove", "--url", URL, "--yes", "--json")
    assert {len(each) for each in json.loads(out).values()} == {2}
    assert secret not in (tmp_path / "webhooks.json").read_text()
    code, out, _ = command("webhooks", "remove", "--url", URL, "--yes")
    assert (code, out) == (0, "deleted 0 webhooks and 0 rules\n")


def test_a_removal_asks_on_a_terminal(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    command(*INSTALL, "--events", "deleted", "--product", "inventory")
    monkeypatch.setattr("sys.stdin", Terminal("n\n"))
    remove_them = ("webhooks", "remove", "--url", URL, "--product", "inventory")
    code, _, err = command(*remove_them)
    assert (code, "Delete 1 webhook and 1 rule?" in err, "nothing was deleted" in err) == (
        (2, True, True)
    )
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    code, out, _ = command(*remove_them)
    assert (code, out) == (0, "deleted 1 webhook and 1 rule\n")


class Terminal:
    """A person at a terminal."""

    def __init__(self, text: str) -> None:
        self._text = text

    def isatty(self) -> bool:
        return True

    def readline(self) -> str:
        return self._text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("install", "--url", URL, "--module", "invoices", "--product", "billing"), "web app"),
        (("install", "--url", "http://example.com", "--module", "invoices"), "https"),
        (("install", "--url", URL, "--module", "invoices", "--sandbox"), "--dry-run"),
        (("install", "--url", URL, "--module", "invoice_"), "did you mean"),
        (("install", "--url", URL, "--module", "invoices", "--events", "paid"), "paid"),
        (("remove", "--yes"), "--url"),
        (("remove", "5", "--url", URL, "--yes"), "not both"),
    ],
)
def test_wrong_usage_is_one_sentence(
    arguments: tuple[str, ...], message: str, command: Command
) -> None:
    code, out, err = command("webhooks", *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err
