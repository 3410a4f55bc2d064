"""README's program does what README says."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

from zoho_async.sandbox import Sandbox

README = Path(__file__).parents[2] / "README.md"


async def test_the_program_in_readme_runs() -> None:
    program = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    assert len(program) == 1
    sizes = {"books.invoices": 300, "books.contacts": 60}
    async with Sandbox(sizes=sizes, organizations=["20345678"]) as box:
        overdue = sum(b'"status":"overdue"' in row for row in box.truth("books.invoices"))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "error", "-c", program[0]),
            env=os.environ | box.environment(),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        assert (process.returncode, err) == (0, b"")
        assert len(re.findall(rb"^INV-\d+ \d", out, re.MULTILINE)) == overdue > 0
        assert b"\n50 PageContext(page=1, per_page=50, has_more_page=True" in out
        assert {arrival.organization for arrival in box.arrivals} == {"10234695", "20345678"}


def test_a_first_line_is_one_line_and_the_second_is_another() -> None:
    blocks = re.findall(r"```bash\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    assert [block.count("\n") for block in blocks[:2]] == [1, 1]
    assert "zoho-async export --sandbox" in blocks[0]
    assert "pytest" in blocks[1]
