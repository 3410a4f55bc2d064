"""The page at ``/``: records, calls, limits and faults."""

from __future__ import annotations

import asyncio
import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.support.browser import Browser
from tests.support.plain_client import raw
from zoho_async.sandbox import Fault, Sandbox
from zoho_async.sandbox.dashboard import render

_VOID = {"meta", "input", "br"}


class Checked(HTMLParser):
    """Parses a page and checks that tags are closed and that linked ids exist."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: set[str] = set()
        self.named: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if given.get("id"):
            assert given["id"] not in self.ids
            self.ids.add(given["id"] or "")
        self.named |= set((given.get("aria-labelledby") or "").split())
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def checked(html: str) -> Checked:
    page = Checked()
    page.feed(html)
    assert page.open == []
    assert page.named <= page.ids
    return page


def busy(box: Sandbox) -> None:
    box.limits.per_minute = 5
    box.faults += [
        Fault(kind="status", status=503, path="*/items"),
        Fault(kind="drop", method="POST", times=None, probability=0.05),
    ]


async def test_the_page_shows_records_calls_limits_and_faults() -> None:
    box = Sandbox(sizes={"contacts": 1_234}, organizations=["10234695", "20345678"])
    busy(box)
    async with raw(box) as zoho:
        for path in ("/contacts", "/items", "/nothing/<b>", "/contacts", "/contacts", "/contacts"):
            await zoho.get(path)
        async with zoho.http.get(f"{box.url}/") as reply:
            assert reply.content_type == "text/html"
            page = checked(await reply.text())
    for shown in (
        *("6 calls", "1 refused", "1 unknown", "1 token request", "1,234", "20345678"),
        *(
            "5 of 5",
            "10 of 10,000".replace("10 ", "5 "),
            "HTTP 503, code 1000",
            "HTTP 429, code 44",
        ),
        *("1 of 1", "0 of any", "the connection closes without a reply", "books.invoices"),
        *("/books/v3/nothing/<b>", f"export ZOHO_BASE_URL={box.url}"),
    ):
        assert shown in page.text
    assert re.search(r"\d{3} s", page.text)  # the block


def test_the_page_reloads_itself_unless_it_is_still() -> None:
    box = Sandbox()
    assert "http-equiv=refresh" in render(box, still=False)
    assert "http-equiv=refresh" not in render(box, still=True)
    assert "<script" not in render(box, still=False)


def test_the_still_page_shows_the_level_of_each_operation() -> None:
    page = checked(render(Sandbox(), still=True))
    assert re.search(r"1,\d{3} of level 1", page.text)
    assert "create\xa0" in page.text
    live = render(Sandbox(), still=False)
    assert "<details" not in live  # it would close with every refresh
    assert "href='/?still#coverage'" in live


def test_the_page_says_what_to_do_before_the_first_call() -> None:
    page = checked(render(Sandbox(), still=False))
    assert "None yet. Point a client here" in page.text
    assert "/__sandbox__/faults" in page.text
    assert {"clients", "limits", "faults", "last", "records", "coverage"} <= page.ids


async def test_the_page_shows_queries_and_names_of_organizations() -> None:
    box = Sandbox(organizations=[str(number) for number in range(70_000_000, 70_000_030)])
    async with raw(box) as zoho:
        await zoho.get("/contacts", organization="70000029", page=7, search_text="<a&b>")
        page = checked(render(box, still=False))
    assert "?page=7&search_text=%3Ca%26b%3E" in page.text
    assert "70000029" in page.text  # one that was called, among too many to be shown
    assert "19 more organizations" in page.text
    assert json.loads(box.truth("organizations", "70000029")[-1])["name"] in page.text


@pytest.mark.long
async def test_the_page_works_in_a_real_browser(tmp_path: Path) -> None:
    browser = Browser(tmp_path)
    waiting = pytest.importorskip("selenium.webdriver.support.ui").WebDriverWait
    box = Sandbox(sizes={"contacts": 1_234})
    busy(box)

    def look(before: asyncio.Event, loop: asyncio.AbstractEventLoop) -> None:
        with browser.opened("--window-size=1100,1500") as chrome:
            chrome.get(f"{box.url}/")
            assert chrome.find_element("id", "calls").text.startswith("0 calls")
            loop.call_soon_threadsafe(before.set)
            waiting(chrome, 60).until(lambda page: page.title.endswith(": 3 calls"))
            chrome.get(f"{box.url}/?still")
            assert chrome.execute_script("return document.scripts.length") == 0
            wide = "return document.documentElement.scrollWidth <= window.innerWidth"
            assert chrome.execute_script(wide)
            for name in ("limits", "faults", "last", "records", "coverage", "clients"):
                assert chrome.find_element("id", name).is_displayed()
            phone = {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": True}
            chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
            fits = "return [...document.querySelectorAll('.scroll')].every"
            assert chrome.execute_script(f"{fits}(each => each.scrollWidth <= each.clientWidth)")
            assert chrome.execute_script(wide)
            chrome.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
            meters = chrome.find_elements("css selector", "meter")
            assert all(meter.get_attribute("aria-label") for meter in meters)
            if "SANDBOX_SCREENSHOT" in os.environ:
                chrome.save_screenshot(os.environ["SANDBOX_SCREENSHOT"])

    async with raw(box) as zoho:
        seen = asyncio.Event()
        looking = asyncio.create_task(asyncio.to_thread(look, seen, asyncio.get_running_loop()))
        done, _ = await asyncio.wait(
            {looking, asyncio.create_task(seen.wait())}, return_when=asyncio.FIRST_COMPLETED
        )
        if looking not in done:
            for path in ("/contacts", "/items", "/nothing"):
                await zoho.get(path)
        await looking
        assert box.calls == 3
