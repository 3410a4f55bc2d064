"""Fuzz the parsers, guided by coverage: ``python -m tests.fuzz [TARGET...] --minutes M``.

Needs atheris (``pip install atheris``; wheels for Linux). Each target runs for M minutes with its
corpus. Inputs that reach new branches are added to the corpus, which is then minimized. An input
that breaks a promise ends its target and is printed and saved; after the fault is fixed, it belongs
into ``corpus/found``. The figures of each run are added to ``figures.json``.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from tests.fuzz import corpus
from tests.fuzz.cover import smallest_cover
from tests.fuzz.figures import FILE, TargetFigures, read_figures
from tests.fuzz.targets import TARGETS

#: The longest input. A parser's branches need no more, and the corpus stays small.
_LONGEST: Final = 1200
#: Seconds that one input may take.
_TIMEOUT: Final = 20
_ENGINE: Final = (sys.executable, "-m", "tests.fuzz.engine")


def main() -> int:
    """Fuzz the targets one after the other. Returns 1 if an input broke a promise."""
    options = _arguments()
    figures = read_figures()
    failed: list[str] = []
    for target in options.targets:
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as scratch:
            ended = _fuzz(target, Path(scratch), options.minutes * 60)
            if ended is None:
                failed.append(target)
                continue
            tries, edges = ended
            kept = _minimize(target, Path(scratch))
        before = figures.get(target, TargetFigures())
        seconds = time.monotonic() - began
        figures[target] = TargetFigures(
            tries=before.tries + tries,
            seconds=round(before.seconds + seconds),
            edges=edges,
            inputs=kept,
        )
        print(f"{target}: {tries} inputs, {edges} edges, {kept} kept, {seconds:.0f} s", flush=True)
        FILE.write_text(json.dumps(msgspec.to_builtins(figures), indent=2) + "\n", "ascii")
    return 1 if failed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--minutes", type=float, default=1.0, help="minutes per target (default 1)")
    options = parser.parse_args()
    if unknown := sorted(set(options.targets) - set(TARGETS)):
        parser.error(f"unknown target {unknown[0]!r}; choose from {', '.join(TARGETS)}")
    options.targets = options.targets or list(TARGETS)
    return options


def _fuzz(target: str, scratch: Path, seconds: float) -> tuple[int, int] | None:
    """Return the number of tries and of edges reached; None if an input broke a promise."""
    seeds, dictionary = scratch / "seeds", scratch / "words"
    _unpack(seeds, corpus.inputs(target))
    dictionary.write_text(_words(target), "ascii")
    ran = subprocess.run(
        [
            *_ENGINE,
            *(target, str(seeds), f"-dict={dictionary}", f"-artifact_prefix={scratch}/"),
            *(f"-max_total_time={max(1, int(seconds))}", f"-max_len={_LONGEST}"),
            *("-print_final_stats=1", f"-timeout={_TIMEOUT}", "-rss_limit_mb=4096"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    text = ran.stdout.decode("utf-8", "replace")
    broken = [each for each in scratch.iterdir() if re.match("crash-|timeout-|oom-", each.name)]
    if ran.returncode or broken:
        print(text[text.find(" === Uncaught") :][:6000])
        for each in broken:
            kept = Path(tempfile.gettempdir(), f"{target}-{each.name}")
            kept.write_bytes(each.read_bytes())
            print(f"{target}: {each.read_bytes()!r}\nsaved as {kept}", flush=True)
        return None
    tries = re.search(r"number_of_executed_units:\s*([0-9]+)", text)
    edges = re.findall(r"cov: ([0-9]+)", text)
    return int(tries[1]) if tries else 0, int(edges[-1]) if edges else 0


def _minimize(target: str, scratch: Path) -> int:
    """Keep few small inputs that reach all that was reached. Returns their number."""
    inputs = [each.read_bytes() for each in (scratch / "seeds").iterdir()]
    found = smallest_cover(TARGETS[target], inputs)
    corpus.write(corpus.FOLDER / f"{target}.jsonl", found)
    return len(found)


def _unpack(folder: Path, inputs: Iterable[bytes]) -> None:
    folder.mkdir()
    for number, each in enumerate(inputs):
        (folder / f"{number:04}").write_bytes(each)


def _words(target: str) -> str:
    """A libFuzzer dictionary: the quoted words, names and numbers of the corpus."""
    found: set[bytes] = set()
    for each in corpus.inputs(target):
        found |= set(re.findall(rb'[\w.-]{2,40}|"[\w-]{1,30}"|[{}\[\]<>:",/= ]{2,5}', each))
    return "".join(
        '"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n' for word in sorted(found)
    )


if __name__ == "__main__":
    sys.exit(main())
