"""Writes ``licences.md``: the licences of everything that the package and its extras may need.

    python docs/licences.py

What is told is what the installed distributions tell of themselves, so it needs all extras but
those for development, and all of their own needs, installed.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Final, NamedTuple

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PAGE: Final = Path(__file__).with_name("licences.md")
PROJECT: Final = Path(__file__).parents[1] / "pyproject.toml"
#: Extras that only those need who work on the package.
FOR_WORK: Final = frozenset({"test", "fuzz", "bench", "dev", "docs"})

_CLASSIFIER: Final = "License :: OSI Approved :: "
#: What distributions write in words, as SPDX has it.
_SPDX: Final = {
    "Apache 2": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD",
    "MIT License": "MIT",
    "Python Software Foundation License": "PSF-2.0",
}


class Need(NamedTuple):
    """A direct need, and the extra that asks for it ("" for none)."""

    requirement: Requirement
    extra: str


def direct() -> dict[str, Need]:
    """Each direct need of the package, by its name."""
    project = tomllib.loads(PROJECT.read_text("utf-8"))["project"]
    extras = {"": project["dependencies"], **project["optional-dependencies"]}
    found: dict[str, Need] = {}
    for extra, needs in extras.items():
        for need in map(Requirement, needs if extra not in FOR_WORK else ()):
            found.setdefault(canonicalize_name(need.name), Need(need, extra))
    return found


def beyond(names: dict[str, Need]) -> dict[str, str]:
    """What the direct needs need in turn, here, with the direct need that brings it."""
    found: dict[str, str] = {}
    waiting = [(need.requirement, name) for name, need in names.items()]
    while waiting:
        requirement, root = waiting.pop(0)
        for further in _needs(requirement):
            name = canonicalize_name(further.name)
            if name not in names and name not in found:
                found[name] = root
                waiting.append((further, root))
    return found


def _needs(of: Requirement) -> Iterator[Requirement]:
    for text in distribution(of.name).requires or ():
        need = Requirement(text)
        marker = need.marker
        if marker is None or any(marker.evaluate({"extra": e}) for e in ("", *of.extras)):
            yield need


def licence(name: str) -> str:
    """The licence by the distribution's own words: SPDX where it has it, else its classifier."""
    told = distribution(name).metadata
    for expression in told.get_all("License-Expression") or ():
        return str(expression)
    classifiers = told.get_all("Classifier") or []
    named = [line.removeprefix(_CLASSIFIER) for line in classifiers if _CLASSIFIER in line]
    own = next(iter(told.get_all("License") or ["not told"]))
    text = ", ".join(named) or own.splitlines()[0]
    return _SPDX.get(text, text)


def page() -> str:
    """The page as the installed distributions have it. Raises `PackageNotFoundError`."""
    names = direct()
    lines = [
        "# Licences",
        "",
        "The package is under the MIT licence. What it needs is under these, as the distributions",
        "tell it themselves. Made by `python docs/licences.py`.",
        "",
        "| distribution | licence | needed for |",
        "|---|---|---|",
    ]
    for name, (_, extra) in sorted(names.items()):
        why = f"the extra `{extra}`" if extra else "everything"
        lines.append(f"| {name} | {licence(name)} | {why} |")
    lines += ["", "And what these need in turn:", ""]
    lines += ["| distribution | licence | needed by |", "|---|---|---|"]
    for name, root in sorted(beyond(names).items()):
        lines.append(f"| {name} | {licence(name)} | {root} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    try:
        made = page()
    except PackageNotFoundError as missing:
        print(f"not installed: {missing.name}", file=sys.stderr)
        return 2
    PAGE.write_text(made, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
