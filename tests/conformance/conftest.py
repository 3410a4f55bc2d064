"""The report of the run: what was proven for each product, and with which patches."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tests.conformance.patches import KNOWN


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports: dict[str, Counter[str]] = {}
    patches: Counter[str] = Counter()
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            for name, value in getattr(report, "user_properties", ()):
                if name == "conformance":
                    _add(value, reports, patches)
    if not reports:
        return
    terminalreporter.section("conformance with Zoho's descriptions")
    for product, found in sorted(reports.items()):
        values = found["typed"] + found["beyond"]
        terminalreporter.write_line(
            f"{product}: {found['proven']} of {found['operations']} operations proven; "
            f"{found['typed']} of {values} values of the replies in typed fields, the rest in "
            f"extra; {found['walked']} of {found['lists']} lists walked page by page"
        )
    for name, count in patches.most_common():
        terminalreporter.write_line(f"{count:6} x {name}: {KNOWN[name]}")


def _add(value: Any, reports: dict[str, Counter[str]], patches: Counter[str]) -> None:
    product, found, used = value
    reports.setdefault(product, Counter()).update(found)
    patches.update(used)
