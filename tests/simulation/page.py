"""Make docs/reliability.md of the figures of the runs: ``python -m tests.simulation.page``.

The figures are files that the runs write: of the simulation (``--figures``), of the old faults
(`tests.simulation.put_back`), of the mutants (`tests.mutation`) and of the fuzzing (`tests.fuzz`).
Nothing on the page is typed by hand but its sentences. A section without figures says so.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from tests.simulation.promises import PROMISES

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs" / "reliability.md"
CHANGELOG: Final = ROOT / "CHANGELOG.md"
SIMULATION: Final = Path(__file__).with_name("figures.json")
PUT_BACK: Final = Path(__file__).with_name("put_back.json")
FOUND: Final = Path(__file__).with_name("found.json")
MUTANTS: Final = ROOT / "tests" / "mutation" / "score.json"
FUZZING: Final = ROOT / "tests" / "fuzz" / "figures.json"

_NONE: Final = "No run has been recorded yet.\n"

#: What each kind of fault does, for readers.
_FAULTS: Final = {
    "no_name": "the name of the server cannot be looked up",
    "refused": "the server refuses the connection",
    "unreachable": "there is no way to the server",
    "cut_before": "the connection breaks before the request arrives",
    "cut_after": "the request takes effect, then the connection breaks",
    "cut_within": "the connection breaks within the reply",
    "cut_idle": "the connection breaks after the reply",
    "lost_request": "the request does not arrive, and nothing says so",
    "lost_reply": "the request takes effect, and no reply comes",
    "late": "the reply comes late",
    "bytewise": "the reply comes in small pieces",
    "duplicate": "the network delivers a request twice",
    "stray_reply": "a reply comes that was not asked for",
    "stray_bytes": "bytes come that are no reply",
    "partition": "nothing passes between two machines for some time",
    "kill": "a process is killed and starts again",
    "stop": "a process is stopped for some time",
    "fork": "a process forks",
}

#: What each fuzzed parser reads, and what is checked.
_TARGETS: Final = {
    "blanks": "JSON whose empty texts are replaced: nothing else changes",
    "envelope": "codes and errors of replies: a write counts as refused only with evidence",
    "page": "pages of lists: each row once, each value in a field or in `extra`",
    "record": "single records: the requested one, with each value",
    "headers": "limits, waits, dates, charsets and file names in headers",
    "names": "names of files and columns, ids in paths: they stay in their folder and path",
    "signature": "signatures of webhooks, made by another implementation",
    "event": "events of webhooks: exactly the values that were sent",
    "token": "answers of the accounts server: no secret in an error",
    "xml": "replies of the retired XML API: no text lost, no refusal taken for a success",
    "checkpoint": "progress of exports and manifests: read and written alike, or refused",
    "accounts": "files of tokens and profiles: other entries stay, or the file is refused",
    "database": "damaged SQLite files of exports and of the write journal",
}


def page(figures: Mapping[str, Any]) -> str:
    """Return the text of the page. ``figures`` has those of each run by its file's name."""
    return _PAGE.format(
        simulation=_simulation(figures.get("simulation")),
        put_back=_put_back(figures.get("put_back")),
        found=_found(figures.get("found")),
        mutants=_mutants(figures.get("mutants")),
        fuzzing=_fuzzing(figures.get("fuzzing")),
    )


def committed() -> dict[str, Any]:
    """Return the figures in the repository."""
    files = {
        "simulation": SIMULATION,
        "put_back": PUT_BACK,
        "found": FOUND,
        "mutants": MUTANTS,
        "fuzzing": FUZZING,
    }
    return {name: json.loads(file.read_bytes()) for name, file in files.items() if file.exists()}


def _simulation(figures: Mapping[str, Any] | None) -> str:
    if figures is None:
        return _NONE
    faults, kinds = figures["faults"], figures["departures"]
    promises = figures["promises"]
    lines = [
        f"- {figures['calls']:,} calls went through the client to the simulated Zoho, in "
        f"{figures['seeds']:,} worlds. Each world is drawn from its own seed.",
        f"- Together, organizations lived through {figures['organization_hours']:,.0f} simulated "
        f"hours. The run took {figures['seconds'] / 3600:.1f} hours "
        f"({figures['calls_per_minute']:,} calls a minute).",
        f"- {sum(faults.values()):,} faults happened, and {sum(kinds.values()):,} replies were not "
        "what the documents describe.",
        f"- Violations: {len(figures['violations'])}.",
        "",
        "| promise | in words | holds if | checks | violations |",
        "|---|---|---|---:|---:|",
        *(
            f"| {name} | {_cell(one['sentence'])} | {_cell(PROMISES[name].holds_if)} "
            f"| {one['checks']:,} | {one['violations']} |"
            for name, one in promises.items()
            if name in PROMISES
        ),
        "",
        "| fault | what happens | times |",
        "|---|---|---:|",
        *(
            f"| `{name}` | {_FAULTS.get(name, name.replace('_', ' '))} | {times:,} |"
            for name, times in sorted(faults.items(), key=lambda one: (-one[1], one[0]))
        ),
        "",
        "| what the simulated Zoho did | times |",
        "|---|---:|",
        *(f"| {_cell(name.replace('_', ' '))} | {times:,} |" for name, times in kinds.items()),
    ]
    if figures.get("unmet"):
        lines += ["", "This run did not reach:", "", *(f"- {one}" for one in figures["unmet"])]
    return _text(lines)


def _put_back(found: Sequence[Mapping[str, Any]] | None) -> str:
    if found is None:
        return _NONE
    return _text(
        [
            "| fault | broken promise | seconds | worlds | workloads | seed |",
            "|---|---|---:|---:|---|---:|",
            *(
                f"| {_cell(one['words'])} | {one['promise']} | {one['seconds']:,} "
                f"| {one['worlds']:,} | {', '.join(one['workloads'])} | {one['seed']} |"
                for one in found
            ),
        ]
    )


def _found(found: Sequence[Mapping[str, Any]] | None) -> str:
    if not found:
        return "Nothing so far.\n"
    return _text(
        [
            "| entry of the changelog | found by |",
            "|---|---|",
            *(f"| {_cell(_entry(one['phrase']))} | {one['by']} |" for one in found),
        ]
    )


def _entry(phrase: str) -> str:
    """Return the entry of the changelog that has ``phrase``. Raises `LookupError` without one."""
    for entry in CHANGELOG.read_text("utf-8").split("\n- "):
        text = " ".join(entry.partition("\n#")[0].split())
        if phrase in text:
            return text
    raise LookupError(f"CHANGELOG.md does not say: {phrase}")


def _mutants(score: Mapping[str, Any] | None) -> str:
    if score is None:
        return _NONE
    share = score["killed"] / max(1, score["mutants"])
    survivors = [
        f"- `{one['module']}:{one['line']}`: `{one['change'].replace('`', '')}`"
        for one in score["survivors"]
    ]
    return _text(
        [
            f"{score['mutants']} changes were tried (seed {score['seed']}); the tests noticed "
            f"{score['killed']} of them: **{share:.1%}**.",
            "",
            "| part | changes | noticed | survived |",
            "|---|---:|---:|---:|",
            *(
                f"| {name} | {one['mutants']} | {one['killed']} | {one['survived']} |"
                if one["mutants"]
                else f"| {name} | not tried yet | | |"
                for name, one in score["by_package"].items()
            ),
            *(["", "Those that survived:", "", *survivors] if survivors else []),
        ]
    )


def _fuzzing(targets: Mapping[str, Mapping[str, Any]] | None) -> str:
    if not targets:
        return _NONE
    tries = sum(one["tries"] for one in targets.values())
    hours = sum(one["seconds"] for one in targets.values()) / 3600
    return _text(
        [
            f"{tries:,} inputs were tried in {hours:.1f} hours.",
            "",
            "| parser | what is checked | inputs tried | steps of code reached | inputs kept |",
            "|---|---|---:|---:|---:|",
            *(
                f"| `{name}` | {_TARGETS[name]} | {one['tries']:,} | {one['edges']:,} "
                f"| {one['inputs']} |"
                for name, one in targets.items()
            ),
        ]
    )


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _text(lines: Sequence[str]) -> str:
    return "\n".join(lines) + "\n"


_PAGE: Final = """# Reliability in figures

This page says how the promises of this package are tried: an organization is never blocked, nothing
is lost, nothing is written twice, and everything ends. All figures are made by the runs themselves
(`python -m tests.simulation.page`).

## What was tried, and what was not

In a simulation the real package runs in a made-up world: clock, network, disk, Redis and Zoho are
programs, and one number (the seed) decides everything that happens. So hours pass in moments,
faults come at the worst time, and each failure can be repeated exactly.

What a simulation cannot say:

- The simulated Zoho is a model, made from Zoho's documents and recorded traffic. It also behaves
  worse than the documents say. But no live account was used, and Zoho may do what we did not think
  of.
- SQLite and Redis are models or libraries within one process. The real ones, DuckDB, PostgreSQL and
  Parquet are tried by other tests, with processes that are really killed.
- A promise holds under its conditions. The table names them.
- A run without violations does not prove that the package has no fault.

## The simulation

{simulation}
Repeat a world: `python -m tests.simulation --seed 17`. It prints what happened, and if a promise
broke, it looks for the smallest world in which it still breaks.

## Faults that were put back

A simulation that finds nothing may be blind. So faults that were fixed are put back, one at a time.
Each must break a promise that the same world keeps without the fault, within 480 seconds of one
processor, half of what the simulation gets in every build. Worlds are drawn from the workloads that
use the code in question. If a seed that shows the fault is known, it runs first.

{put_back}
## Found and fixed

{found}
## Do the tests notice a change?

The code of limits, paging, sign-in, HTTP and the core of exports is changed at one place at a time,
such as `<` to `<=`. A change that no test notices survives. Some of them change nothing that
matters; they count as survivors all the same.

{mutants}
## Fuzzing of what comes from outside

Each parser gets many changed inputs, and those that reach new steps of its code are changed
further. A crash is a fault, and so is an answer that another, slower program does not confirm. The
inputs in the last column are tried again in every build.

{fuzzing}"""


def main() -> None:
    """Write the page, after copying new figures of the simulation if they are given."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.page", description=__doc__)
    parser.add_argument("--figures", type=Path, help="new figures of the simulation (JSON)")
    options = parser.parse_args()
    if options.figures:
        shutil.copyfile(options.figures, SIMULATION)
    PAGE.write_text(page(committed()), encoding="utf-8")


if __name__ == "__main__":
    main()
