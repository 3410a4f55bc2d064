"""``zoho-async login`` in this process: in the browser, on a device, and each wrong turn."""

from __future__ import annotations

import asyncio
import io
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import parse_qsl, urlencode, urlsplit
from urllib.request import urlopen

import numpy
import pytest
import zxingcpp
from aiohttp import web
from rich.console import Console

from tests.support.answering_server import AnsweringServer
from tests.support.command import Command, serving
from tests.support.consent_pages import agree, answer_device, self_client_code
from tests.support.ports import free_port
from zoho_async.auth import Profile, Profiles
from zoho_async.cli import consent
from zoho_async.cli.questions import ask_secret
from zoho_async.errors import ConfigurationError
from zoho_async.regions import REGIONS, Region
from zoho_async.sandbox import Sandbox

#: An environment with no account, as on a fresh machine.
ACCOUNT = ("ZOHO_CLIENT_ID", "ZOHO_CLIENT_SECRET", "ZOHO_REFRESH_TOKEN", "ZOHO_ORGANIZATION_ID")


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with serving(Sandbox()) as zoho:
        yield zoho


class Person:
    """A person at the command: types ``lines``, and uses a browser in another thread."""

    def __init__(
        self, zoho: Sandbox, home: Path, command: Command, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.zoho = zoho
        self.profiles = Profiles(home / "profiles.json")
        self.port = free_port()
        self._command = command
        self._monkeypatch = monkeypatch
        self._problems: list[BaseException] = []
        for name in (*ACCOUNT, "ZOHO_REGION"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("ZOHO_ASYNC_PROFILES", str(self.profiles.path))
        monkeypatch.setattr(consent, "_has_browser", lambda: True)

    def __call__(self, *arguments: str, lines: list[str]) -> tuple[int, str]:
        """Run the command. Exit code, and what was shown, without line breaks."""
        self._monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{at}\n" for at in lines)))
        code, out, err = self._command("login", "items", *arguments)
        assert self._problems == []
        assert "\\n" not in out + err
        assert self.zoho.client_secret not in out + err
        assert not any(token in out + err for token in self.zoho.refresh_tokens)
        return code, " ".join((out + err).split())

    def by_browser(self, browse: Callable[[str], None], *lines: str) -> tuple[int, str]:
        threads: list[threading.Thread] = []

        def work(url: str) -> None:
            try:
                browse(url)
            except BaseException as problem:
                self._problems.append(problem)
                raise

        def open_browser(url: str) -> bool:
            threads.append(threading.Thread(target=work, args=(url,)))
            threads[-1].start()
            return True

        self._monkeypatch.setattr("webbrowser.open", open_browser)
        try:
            options = ("--browser", "--port", str(self.port), "--organization", "10234695")
            return self(*options, lines=list(lines))
        finally:
            for thread in threads:
                thread.join()

    def saved(self) -> Profile:
        profile = self.profiles.get("default")
        assert profile is not None
        return profile


@pytest.fixture
def person(
    sandbox: Sandbox, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Person]:
    yield Person(sandbox, tmp_path, command, monkeypatch)
    sandbox.tokens.user_location = ""
    sandbox.tokens.device_interval = 30.0
    sandbox.faults.clear()


def callback(url: str, **query: str) -> int:
    """Go where the page at ``url`` redirects, with ``query``. The status of our page."""
    uri = dict(parse_qsl(urlsplit(url).query))["redirect_uri"]
    try:
        with urlopen(f"{uri}?{urlencode(query)}") as page:
            return int(page.status)
    except HTTPError as refused:
        with refused:
            return refused.code


def accept(url: str) -> None:
    assert callback(url, **asyncio.run(agree(url))) == 200


def test_without_a_client_secret_by_pkce(person: Person) -> None:
    code, shown = person.by_browser(accept, person.zoho.client_id, "")
    assert code == 0, shown
    profile = person.saved()
    assert (profile.public, profile.client_secret) == (True, "")
    assert profile.credentials.client_secret is None
    assert (profile.region, profile.organization) == ("us", "10234695")
    tokens = len(person.zoho.refresh_tokens)
    code, _, err = person._command("logout")
    assert code == 0, err
    assert len(person.zoho.refresh_tokens) == tokens - 1
    assert person.profiles.names() == []


def test_a_client_with_a_secret_uses_pkce_too(person: Person) -> None:
    seen: list[str] = []

    def browse(url: str) -> None:
        seen.append(url)
        accept(url)

    code, shown = person.by_browser(browse, person.zoho.client_id, person.zoho.client_secret)
    assert code == 0, shown
    assert dict(parse_qsl(urlsplit(seen[0]).query))["code_challenge_method"] == "S256"
    assert person.saved().credentials.client_secret == person.zoho.client_secret


def test_stray_and_forged_answers_do_not_end_the_login(person: Person) -> None:
    def browse(url: str) -> None:
        assert callback(url, code="1000.forged", state="theirs") == 400
        assert callback(url, error="access_denied") == 400
        accept(url)

    code, shown = person.by_browser(browse, person.zoho.client_id, "")
    assert code == 0, shown
    assert "1000.forged" not in shown


def test_the_data_center_comes_from_the_answer(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    person.zoho.tokens.user_location = "eu"
    elsewhere = person.zoho.url.replace("127.0.0.1", "localhost")
    monkeypatch.setitem(REGIONS, "eu", Region("eu", elsewhere, person.zoho.url))
    code, shown = person.by_browser(accept, person.zoho.client_id, "")
    assert code == 0, shown
    assert (person.saved().region, person.saved().accounts_url) == ("eu", "")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"accounts-server": "https://accounts.evil.example"}, "the code was not sent"),
        ({"location": "xx", "accounts-server": ""}, "the code was not sent"),
        ({"code": ""}, "sent no code"),
        ({"code": "1000.another"}, "wrong, was used before"),
    ],
)
def test_a_wrong_answer_with_the_right_state_saves_nothing(
    person: Person, changes: dict[str, str], message: str
) -> None:
    requests = person.zoho.token_requests

    def browse(url: str) -> None:
        callback(url, **asyncio.run(agree(url)) | changes)

    code, shown = person.by_browser(browse, person.zoho.client_id, "")
    assert code != 0
    assert message in shown
    assert person.profiles.names() == []
    is_sent = "was used before" in message
    assert person.zoho.token_requests == requests + is_sent


def test_refusing_on_the_page_ends_the_login(person: Person) -> None:
    def browse(url: str) -> None:
        callback(url, **asyncio.run(agree(url, answer="reject")))

    code, shown = person.by_browser(browse, person.zoho.client_id, "")
    assert code == 1
    assert "refused on the authorization page" in shown
    assert person.profiles.names() == []


def test_a_wrong_client_secret_says_so(person: Person) -> None:
    code, shown = person.by_browser(accept, person.zoho.client_id, "wrong")
    assert code == 2
    assert "the client secret is missing, or does not belong" in shown


class Phone(io.StringIO):
    """A stderr that is read by someone who types the code that it shows, and answers."""

    def __init__(self, zoho: Sandbox, answer: str) -> None:
        super().__init__()
        self._zoho = zoho
        self._answer = answer
        self._is_done = False

    def write(self, text: str) -> int:
        written = super().write(text)
        if not self._is_done and "Waiting for you" in self.getvalue():
            self._is_done = True
            user_code = self.getvalue().partition("Code: ")[2].split()[0]
            work = answer_device(self._zoho, user_code, answer=self._answer)
            thread = threading.Thread(target=lambda: asyncio.run(work))
            thread.start()
            thread.join()
        return written


def by_device(
    person: Person, monkeypatch: pytest.MonkeyPatch, answer: str, *lines: str
) -> tuple[int, str]:
    person.zoho.tokens.device_interval = 1.1  # in milliseconds more than 1,000
    phone = Phone(person.zoho, answer)
    monkeypatch.setattr(sys, "stderr", phone)
    code, shown = person("--device", "--organization", "10234695", lines=list(lines))
    assert "\\n" not in phone.getvalue()
    return code, " ".join((shown + phone.getvalue()).split())


@pytest.mark.parametrize(
    ("answer", "status", "message"),
    [("accept", 0, "Logged in"), ("reject", 1, "refused on the authorization page")],
)
def test_on_a_device(
    person: Person,
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    status: int,
    message: str,
) -> None:
    zoho = person.zoho
    code, shown = by_device(person, monkeypatch, answer, zoho.client_id, zoho.client_secret)
    assert (code, message in shown) == (status, True), shown
    assert "Its secret is needed on this machine" in shown
    assert zoho.client_secret not in shown
    assert not any(device_code in shown for device_code in zoho.accounts.devices)
    assert person.profiles.names() == (["default"] if status == 0 else [])


def test_a_device_needs_no_data_center_and_asks_those_of_the_table(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the second data center knows the client; the user named none."""
    monkeypatch.delenv("ZOHO_ACCOUNTS_URL")
    other = Sandbox()
    other.accounts.client_id = "1000.OTHER"
    with serving(other):
        table = {
            "us": Region("us", other.url, other.url),
            "eu": Region("eu", person.zoho.url, person.zoho.url),
        }
        monkeypatch.setattr(consent, "REGIONS", table)
        zoho = person.zoho
        code, shown = by_device(person, monkeypatch, "accept", zoho.client_id, zoho.client_secret)
        assert code == 0, shown
        assert person.saved().region == "eu"
        code, shown = by_device(person, monkeypatch, "accept", "1000.NEITHER", "a-secret")
        assert (code, "the client id is unknown" in shown) == (2, True)


@pytest.mark.parametrize(
    ("error", "client", "status", "message"),
    [
        (None, "", 0, "Data center us: the accounts server answered HTTP 404"),
        (None, "1000.OTHER", 2, "the client id is unknown"),
        ({"error": "unauthorized_client"}, "1000.OTHER", 2, "for --device a non-browser one"),
    ],
)
async def test_a_data_center_without_the_device_grant_does_not_end_the_search(
    person: Person,
    server: AnsweringServer,
    monkeypatch: pytest.MonkeyPatch,
    error: dict[str, str] | None,
    client: str,
    status: int,
    message: str,
) -> None:
    """``error`` is what one of them answers; None: a page that is not JSON."""
    monkeypatch.delenv("ZOHO_ACCOUNTS_URL")
    zoho = person.zoho
    page = web.Response(status=404, text="<html>") if error is None else web.json_response(error)
    server.answers = [page]
    urls = [zoho.url, server.url, zoho.url] if client else [server.url, zoho.url]
    table = {name: Region(name, url, url) for name, url in zip(REGIONS, urls, strict=False)}
    monkeypatch.setattr(consent, "REGIONS", table)
    lines = (client or zoho.client_id, zoho.client_secret)
    code, shown = await asyncio.to_thread(by_device, person, monkeypatch, "accept", *lines)
    assert (code, message in shown) == (status, True), shown


def test_asked_how_and_pasting_a_code_asks_for_the_data_center(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ZOHO_ACCOUNTS_URL")
    monkeypatch.setitem(REGIONS, "eu", Region("eu", person.zoho.url, person.zoho.url))
    made = asyncio.run(self_client_code(person.zoho, "ZohoBooks.settings.READ"))
    lines = ["9", "3", "xx", "eu", person.zoho.client_id, person.zoho.client_secret]
    code, shown = person("--organization", "10234695", lines=[*lines, "1000.wrong", made])
    assert code == 0, shown
    for text in ("enter a number from 1 to 3", "Unknown data center", "make a new one"):
        assert text in shown
    assert person.saved().region == "eu"
    assert made not in shown


def test_a_region_in_the_environment_that_differs_is_pointed_out(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOHO_REGION", "in")
    person.zoho.tokens.user_location = "eu"
    elsewhere = person.zoho.url.replace("127.0.0.1", "localhost")
    monkeypatch.setitem(REGIONS, "eu", Region("eu", elsewhere, person.zoho.url))
    code, shown = person.by_browser(accept, person.zoho.client_id, "")
    assert (code, "ZOHO_REGION in the environment names another" in shown) == (0, True)


def test_two_ways_at_once_and_an_unreadable_profiles_file_fail_before_any_question(
    person: Person,
) -> None:
    code, shown = person("--device", "--browser", lines=[])
    assert (code, "give one of" in shown) == (2, True)
    person.profiles.path.write_bytes(b"{")
    code, shown = person("--device", lines=[])
    assert (code, "move it away" in shown) == (2, True)
    assert "Client ID" not in shown


def test_without_a_terminal_it_says_so(person: Person) -> None:
    code, shown = person(lines=[])
    assert (code, "run this in a terminal" in shown) == (2, True)


def test_the_end_of_the_input_at_a_secret_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    class Keyboard(io.StringIO):
        def isatty(self) -> bool:
            return True

    def ended(*_: object, **__: object) -> str:
        raise EOFError

    monkeypatch.setattr(sys, "stdin", Keyboard())
    monkeypatch.setattr("getpass.getpass", ended)
    with pytest.raises(ConfigurationError, match="no answer on stdin"):
        ask_secret("Client secret")


@pytest.mark.parametrize("port", ["0", "65536"])
def test_a_port_that_cannot_exist_is_refused_before_any_question(person: Person, port: str) -> None:
    code, shown = person("--browser", "--port", port, lines=[])
    assert (code, "--port" in shown, "Client ID" in shown) == (2, True, False)


def console(**options: object) -> Console:
    settings = {"force_terminal": True, "color_system": "256", "width": 80, "_environ": {}}
    stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    return Console(file=stream, **(settings | options))  # type: ignore[arg-type] # a test's own


def printed(text: str, shown: Console) -> str:
    consent.show_qr_code(text, shown)
    assert isinstance(shown.file, io.TextIOWrapper)
    shown.file.flush()
    buffer = shown.file.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue().decode()


@pytest.mark.parametrize(
    "options",
    [
        {"force_terminal": False},
        {"color_system": None},
        {"no_color": True},
        {"width": 30},
    ],
)
def test_a_terminal_that_cannot_show_a_qr_code_gets_none(options: dict[str, object]) -> None:
    assert (
        printed("https://accounts.zoho.com/oauth/v3/device?user_code=ABCD", console(**options))
        == ""
    )


def test_the_qr_code_is_dark_on_light_and_has_the_address() -> None:
    url = "https://accounts.zoho.com/oauth/v3/device?user_code=ABCD-1234"
    style, end = "\x1b[38;5;16;48;5;231m", "\x1b[0m"
    lines = printed(url, console()).splitlines()
    assert all(line.startswith(style) and line.endswith(end) for line in lines)
    squares = [line.removeprefix(style).removesuffix(end) for line in lines]
    assert len(squares) <= 22
    assert {len(line) for line in squares} == {len(squares[0])}
    assert read_qr_code(squares) == url


def read_qr_code(lines: list[str]) -> str:
    """Decode a code of half blocks with a reader that shares nothing with the writer."""
    rows: list[list[int]] = []
    for line in lines:
        rows.append([0 if at in "█▀" else 255 for at in line])
        rows.append([0 if at in "█▄" else 255 for at in line])
    image = numpy.kron(numpy.array(rows, dtype="uint8"), numpy.ones((8, 8), dtype="uint8"))
    return str(zxingcpp.read_barcodes(image)[0].text)
