"""Run one target in libFuzzer: ``python -m tests.fuzz.engine TARGET LIBFUZZER_ARGUMENTS``.

Atheris instruments the package when it is imported, and libFuzzer ends the process, so each target
runs in a new process. Half of the changes are made in the structure of JSON, the other half in
the bytes.
"""

from __future__ import annotations

import json
import random
import sys
from typing import Any, Final

import atheris

with atheris.instrument_imports(include=["zoho_async"]):
    from tests.fuzz.targets import TARGETS

#: Values that JSON may have anywhere.
_ODD: Final[tuple[Any, ...]] = (
    *(None, True, False, "", " ", 0, -1, 10**20, 0.1, "0", "1e3", "10%", "true", "\ud800"),
    *([], {}, [""], [[]], {"": ""}, "2026-06-09", "2026-06-09T09:45:19-0400", "460000000026049"),
)


def mutate(data: bytes, most: int, seed: int) -> bytes:
    """Change ``data``, to at most ``most`` bytes."""
    chance = random.Random(seed)
    # Some targets take a byte that chooses something before the JSON.
    start = 0 if data[:1] in (b"{", b"[") else 1
    if chance.random() < 0.5:
        try:
            value = json.loads(data[start:])
        except (ValueError, RecursionError):
            pass
        else:
            changed = json.dumps(
                _changed(value, chance),
                separators=chance.choice([(",", ":"), (", ", ": ")]),
                ensure_ascii=chance.random() < 0.5,
            ).encode("utf-8", "replace")
            return (data[:start] + changed)[:most]
    return bytes(atheris.Mutate(data, most))


def _changed(value: Any, chance: random.Random) -> Any:
    """``value`` with a change at one place."""
    if isinstance(value, (dict, list)) and value and chance.random() < 0.8:
        key = chance.choice(list(value) if isinstance(value, dict) else range(len(value)))
        match chance.randrange(6):
            case 0:
                value[key] = chance.choice(_ODD)
            case 1:
                del value[key]
            case 2 if isinstance(value, dict):
                value[chance.choice([key + "_", key[:-1], key.replace("_", "")])] = value[key]
            case 2 if isinstance(value, list):
                value.append(value[key])
            case _:
                value[key] = _changed(value[key], chance)
        return value
    return chance.choice([[value], {"data": value}, *_ODD, *_ODD])


if __name__ == "__main__":
    name, *arguments = sys.argv[1:]
    atheris.Setup([sys.argv[0], *arguments], TARGETS[name], custom_mutator=mutate)
    atheris.Fuzz()
