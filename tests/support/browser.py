"""A real browser without a window, for what only a browser can show."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest


class Browser:
    """Chromium with its driver. Making one skips the test where either is missing."""

    def __init__(self, folder: Path) -> None:
        self._program = shutil.which("chromium") or shutil.which("google-chrome")
        self._driver = shutil.which("chromedriver")
        if self._program is None or self._driver is None:
            pytest.skip("chromium and chromedriver are not both on PATH")
        self._selenium: Any = pytest.importorskip(
            "selenium.webdriver", reason="the extra test brings selenium"
        )
        self._folder = folder / "browser"

    @contextmanager
    def opened(self, *options: str) -> Iterator[Any]:
        """Open a window that talks only to the sandbox. Blocks, so call it on a thread."""
        chosen = self._selenium.ChromeOptions()
        chosen.binary_location = self._program
        for option in (
            *("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"),
            *("--disable-background-networking", "--disable-component-update"),
            *("--disable-sync", "--no-first-run", f"--user-data-dir={self._folder}"),
            *options,
        ):
            chosen.add_argument(option)
        service = self._selenium.ChromeService(executable_path=self._driver)
        chrome = self._selenium.Chrome(options=chosen, service=service)
        try:
            yield chrome
        finally:
            chrome.quit()
