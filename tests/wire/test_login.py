"""From no credentials to a first export: the login in a terminal, as a person does it."""

from __future__ import annotations

import asyncio
import os
import re
import stat
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, urlsplit
from urllib.request import urlopen

import msgspec
import pytest

from tests.support.browser import Browser
from tests.support.consent_pages import agree, answer_device, self_client_code
from tests.support.forked_command import Ended, ForkedCommand
from tests.support.ports import free_port
from zoho_async.sandbox import Sandbox

pexpect = pytest.importorskip("pexpect", reason="terminals are driven with pexpect, on POSIX only")

COMMAND = ("-m", "zoho_async.cli")
Command: TypeAlias = Callable[..., Awaitable[Ended]]


def environment(zoho: Sandbox, tmp_path: Path) -> dict[str, str]:
    """What a person on a fresh machine has, pointed at the sandbox instead of Zoho."""
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    return {
        **kept,
        "HOME": str(tmp_path),
        "ZOHO_ASYNC_LEDGER": str(tmp_path / "state" / "limits.sqlite"),
        "ZOHO_BASE_URL": zoho.url,
        "ZOHO_ACCOUNTS_URL": zoho.accounts_url,
        "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
        "TERM": "dumb",
        "COLUMNS": "1000",
    }


def profiles_file(tmp_path: Path) -> Path:
    folder = "Library/Application Support" if sys.platform == "darwin" else ".config"
    return tmp_path / folder / "zoho-async" / "profiles.json"


def secrets_of(zoho: Sandbox) -> set[str]:
    return {zoho.client_secret, *zoho.refresh_tokens}


@pytest.fixture(scope="module")
def forked() -> Iterator[ForkedCommand]:
    running = ForkedCommand()
    yield running
    running.close()


@pytest.fixture
def command(forked: ForkedCommand) -> Command:
    """Run ``zoho-async`` without a terminal: exit code, stdout, stderr."""

    async def run(env: dict[str, str], *arguments: str) -> Ended:
        return await asyncio.to_thread(forked.run, list(arguments), env)

    return run


class Terminal:
    """A person at a pseudo-terminal; ``seen`` is all that was shown there."""

    def __init__(self, env: dict[str, str], *arguments: str) -> None:
        self.seen = ""
        self._child: Any = pexpect.spawn(
            sys.executable, [*COMMAND, *arguments], env=env, encoding="utf-8", timeout=100
        )

    def shown(self, pattern: str) -> str:
        self._child.expect(pattern)
        self.seen += self._child.before + self._child.after
        return str(self._child.after)

    def type(self, text: str) -> None:
        self._child.sendline(text)

    def end(self) -> int:
        self._child.expect(pexpect.EOF)
        self.seen += self._child.before
        self._child.close()
        return int(self._child.exitstatus)


async def in_terminal(person: Callable[[], str]) -> str:
    return await asyncio.to_thread(person)


async def test_from_nothing_to_a_first_export_by_pasting_a_code(
    tmp_path: Path, command: Command
) -> None:
    began = time.monotonic()
    async with Sandbox(organizations=["10234695", "20345678"], sizes={"books.items": 30}) as zoho:
        env = environment(zoho, tmp_path)
        loop = asyncio.get_running_loop()

        def person() -> str:
            at = Terminal(env, "login", "items")
            at.shown("How .*: ")
            at.type("3")
            at.shown("Client ID: ")
            at.type(zoho.client_id)
            at.shown("Client secret .*: ")
            at.type(zoho.client_secret)
            scope = at.shown(r"ZohoBooks\.\S+").strip()
            at.shown("Code .*: ")
            at.type("1000.not-the-code")
            at.shown("make a new one")
            at.shown("Code .*: ")
            code = asyncio.run_coroutine_threadsafe(self_client_code(zoho, scope), loop).result()
            at.type(code)
            at.shown("Organizations:")
            at.shown("Which one .*: ")
            at.type("2")
            assert at.end() == 0, at.seen
            assert code not in at.seen
            return at.seen

        seen = await in_terminal(person)
        assert not any(secret in seen for secret in secrets_of(zoho))
        assert "mode 0600" in seen
        path = profiles_file(tmp_path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        kept = msgspec.json.decode(path.read_bytes())["profiles"]["default"]
        assert kept["organization"] == "20345678"
        assert kept["scopes"] == ["ZohoBooks.settings.READ"]

        code, out, _ = await command(env, "login", "--check")
        assert (code, "works" in out, "2 organizations" in out) == (0, True, True)
        code, out, _ = await command(env, "export", "items", "--to", str(tmp_path / "out"))
        assert code == 0, out
        assert len((tmp_path / "out/books/items.jsonl").read_bytes().splitlines()) == 30
        # The token that came with the code served all of it.
        assert zoho.token_requests == 2
        assert time.monotonic() - began < 60

        code, out, err = await command(env, "whoami")
        assert code == 0, err
        for word in (
            "20345678",
            "ZohoBooks.settings.READ",
            "us (",
            "used today of 10000",
            " left",
            "s old",
        ):
            assert word in out
        assert not any(secret in out + err for secret in secrets_of(zoho))
        code, out, _ = await command(env, "whoami", "--json")
        assert msgspec.json.decode(out)["organization"] == "20345678"

        tokens = len(zoho.refresh_tokens)
        code, out, err = await command(env, "logout")
        assert code == 0, err
        assert len(zoho.refresh_tokens) == tokens - 1
        code, out, err = await command(env, "export", "items", "--to", str(tmp_path / "again"))
        assert code == 2
        assert "zoho-async login" in err


async def login_by_browser(
    zoho: Sandbox, tmp_path: Path, browse: Callable[[str], None], *arguments: str
) -> tuple[int, str]:
    """Log in without a secret; ``browse`` is given the address to open. Code and screen."""
    env = environment(zoho, tmp_path)
    port = free_port()
    options = ("--browser", "--port", str(port), "--profile", "firm")

    def person() -> tuple[int, str]:
        at = Terminal(env, "login", "items", *options, *arguments)
        at.shown(f"http://localhost:{port}/callback")
        at.shown("Client ID: ")
        at.type(zoho.client_id)
        at.shown("Client secret .*: ")
        at.type("")
        url = at.shown(r"http://127\S+/oauth/v2/auth\?\S+").strip()
        browse(url)
        return at.end(), at.seen

    return await asyncio.to_thread(person)


async def test_agreeing_on_the_page_logs_in_without_a_client_secret(
    tmp_path: Path, command: Command
) -> None:
    async with Sandbox() as zoho:
        loop = asyncio.get_running_loop()

        def browse(url: str) -> None:
            query = dict(parse_qsl(urlsplit(url).query))
            answer = asyncio.run_coroutine_threadsafe(agree(url), loop).result()
            answered = f"code={answer['code']}&state={answer['state']}"
            with urlopen(f"{query['redirect_uri']}?{answered}") as page:
                assert b"close this window" in page.read()

        code, seen = await login_by_browser(zoho, tmp_path, browse, "--organization", "10234695")
        assert code == 0, seen
        assert not any(secret in seen for secret in secrets_of(zoho))
        assert zoho.client_secret not in profiles_file(tmp_path).read_text()
        _, out, _ = await command(environment(zoho, tmp_path), "whoami", "--profile", "firm")
        assert "profile firm" in out


def login_by_device(
    zoho: Sandbox, tmp_path: Path, agree_to: Callable[[str, str], None]
) -> tuple[int, str]:
    """Log in on a device in 80 columns; ``agree_to`` is given address and code."""
    colors = {"TERM": "xterm-256color", "COLUMNS": "80", "LANG": "C.UTF-8"}
    env = environment(zoho, tmp_path) | colors
    at = Terminal(env, "login", "items", "--device", "--organization", "10234695")
    at.shown("Client ID: ")
    at.type(zoho.client_id)
    at.shown("Client secret .*: ")
    at.type(zoho.client_secret)
    url = at.shown(r"http://127\S+/oauth/v3/device").strip()
    user_code = at.shown(r"[0-9A-F]{4}-[0-9A-F]{4}")
    at.shown("Waiting for you")
    agree_to(url, user_code)
    return at.end(), at.seen


async def test_a_device_shows_a_code_and_a_qr_code_and_logs_in(tmp_path: Path) -> None:
    async with Sandbox() as zoho:
        zoho.tokens.device_interval = 1.1
        loop = asyncio.get_running_loop()

        def agree_to(url: str, user_code: str) -> None:
            work = answer_device(zoho, user_code)
            asyncio.run_coroutine_threadsafe(work, loop).result()

        code, seen = await asyncio.to_thread(login_by_device, zoho, tmp_path, agree_to)
        assert code == 0, seen
        assert "\x1b[38;5;16;48;5;231m" in seen
        assert "\\n" not in seen
        assert not any(secret in seen for secret in secrets_of(zoho))


@pytest.mark.long
async def test_a_real_browser_agrees_to_a_device(tmp_path: Path) -> None:
    browser = Browser(tmp_path)
    async with Sandbox() as zoho:
        zoho.tokens.device_interval = 1.1

        def agree_to(url: str, user_code: str) -> None:
            with browser.opened() as chrome:
                chrome.implicitly_wait(30)
                chrome.get(url)
                chrome.find_element("id", "code").send_keys(user_code.lower())
                chrome.find_element("id", "accept").click()
                assert "close this window" in chrome.find_element("id", "message").text

        code, seen = await asyncio.to_thread(login_by_device, zoho, tmp_path, agree_to)
        assert code == 0, seen


@pytest.mark.long
async def test_a_real_browser_logs_in(tmp_path: Path, command: Command) -> None:
    browser = Browser(tmp_path)
    async with Sandbox() as zoho:

        def browse(url: str) -> None:
            with browser.opened() as chrome:
                chrome.implicitly_wait(30)  # a page may still be on its way when it is looked at
                chrome.get(url)
                assert "ZohoBooks.settings.READ" in chrome.page_source
                chrome.find_element("id", "accept").click()
                assert "close this window" in chrome.find_element("id", "message").text

        code, seen = await login_by_browser(zoho, tmp_path, browse, "--organization", "10234695")
        assert code == 0, seen
        _, out, _ = await command(
            environment(zoho, tmp_path), "login", "--check", "--profile", "firm"
        )
        assert re.search("works: .*, 1 organization", out)


def assert_no_file_holds_a_secret(zoho: Sandbox, folder: Path, keyring: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file() and path != keyring:
            content = path.read_bytes()
            assert zoho.client_secret.encode() not in content, path
            assert not re.search(rb"1000\.[0-9a-f]{32}\.", content), path


async def test_with_a_keyring_no_file_holds_a_secret(tmp_path: Path, command: Command) -> None:
    async with Sandbox(sizes={"books.items": 3}) as zoho:
        ring = tmp_path / "ring.json"
        backend = {"PYTHON_KEYRING_BACKEND": "tests.support.keyring_file.Ring", "RING": str(ring)}
        env = environment(zoho, tmp_path) | backend
        code = await self_client_code(zoho, "ZohoBooks.settings.READ")

        def person() -> str:
            at = Terminal(
                env, "login", "items", "--self-client", "--region", "us", "--organization", "1"
            )
            at.shown("Client ID: ")
            at.type(zoho.client_id)
            at.shown("Client secret .*: ")
            at.type(zoho.client_secret)
            at.shown("Code .*: ")
            at.type(code)
            assert at.end() == 0, at.seen
            return at.seen

        seen = await in_terminal(person)
        assert "the OS keyring" in seen
        assert "1 is not one of the account's: 10234695" in seen
        env["ZOHO_ORGANIZATION_ID"] = "10234695"
        status, out, err = await command(env, "export", "items", "--to", str(tmp_path / "out"))
        assert status == 0, out + err
        assert zoho.token_requests == 1
        held = ring.read_text()
        assert all(secret in held for secret in (zoho.client_secret, zoho.refresh_tokens[-1]))
        assert_no_file_holds_a_secret(zoho, tmp_path, ring)
        status, out, err = await command(env, "logout")
        assert status == 0, err
        left = ring.read_text()
        assert zoho.client_secret not in left
        assert not re.search(r"1000\.[0-9a-f]{32}\.", left)
