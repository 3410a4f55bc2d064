"""The corpus: inputs that reach different branches of the parsers, one file per target.

A file has one input per line, as a JSON string of its bytes in Latin-1. Inputs that once showed a
fault are kept in ``corpus/found``, which is never minimized.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent / "corpus"


def inputs(target: str) -> list[bytes]:
    """All inputs of ``target``: those that reach branches, then those that showed faults."""
    return [*read(FOLDER / f"{target}.jsonl"), *read(FOLDER / "found" / f"{target}.jsonl")]


def read(path: Path) -> list[bytes]:
    """The inputs in ``path``; none if the file does not exist."""
    if not path.exists():
        return []
    return [json.loads(line).encode("latin-1") for line in path.read_text("ascii").splitlines()]


def write(path: Path, found: Iterable[bytes]) -> None:
    """Replace the inputs in ``path``, sorted and each once."""
    lines = [json.dumps(each.decode("latin-1")) for each in sorted(set(found))]
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), "ascii")
