"""``python -m benchmarks [--quick] [--json FILE]``: tables of CPU time, as ratios to the floor.

Contenders take turns in one process; figures are medians with the smallest and largest round, and
ratios are to the first line of each table. Absolute times depend on the machine; ratios less so.
"""

from __future__ import annotations

import argparse
import asyncio
import platform
from pathlib import Path

import msgspec

from benchmarks.admission import admission
from benchmarks.decoding import calling, decoding
from benchmarks.measure import Figure


async def _run(rounds: int) -> dict[str, list[Figure]]:
    return dict([await suite(rounds) for suite in (decoding, calling, admission)])


def main() -> None:
    """Run all suites and print their tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rounds, for a look")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    given = parser.parse_args()
    tables = asyncio.run(_run(3 if given.quick else 15))
    print(f"Python {platform.python_version()}, {platform.machine()}, {platform.system()}")
    for title, figures in tables.items():
        print(f"\n{title}\n{'':44} {'median':>10} {'low':>10} {'high':>10}  ratio")
        for each in figures:
            print(
                f"{each.name:44} {each.median:8.1f}us {each.low:8.1f}us {each.high:8.1f}us"
                f"  {each.ratio:5.2f}"
            )
    if given.json:
        given.json.write_bytes(msgspec.json.format(msgspec.json.encode(tables), indent=1))


if __name__ == "__main__":
    main()
