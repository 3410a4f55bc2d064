"""Several threads may decode a struct for the first time. Without the lock the process crashes."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "zoho_async"
#: Eight threads at once, again and again, for a record with records inside that is new each time.
SCRIPT = """
import sys, threading
import msgspec
from zoho_async._msgspec import decoder_of

sys.setswitchinterval(1e-6)


def read(struct, go, ready):
    ready.append(None)
    while not go:
        pass
    decoder_of(struct).decode(b'{"f59":1,"inner9":[{"x":2}]}')


for _ in range(25):
    inner = [msgspec.defstruct(f"Inner{k}", [("x", int | None, None)]) for k in range(10)]
    lists = [(f"inner{k}", list[each] | None, None) for k, each in enumerate(inner)]
    struct = msgspec.defstruct("Outer", [*lists, *((f"f{k}", int | None, None) for k in range(60))])
    go, ready = [], []
    threads = [threading.Thread(target=read, args=(struct, go, ready)) for _ in range(8)]
    for thread in threads:
        thread.start()
    while len(ready) < len(threads):
        pass
    go.append(None)
    for thread in threads:
        thread.join()
"""


def test_several_threads_may_decode_a_record_for_the_first_time() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, timeout=100)
    assert done.returncode == 0, done.stderr


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def test_no_module_creates_a_decoder_without_the_lock() -> None:
    found: list[str] = []
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.name == "_msgspec.py" or "codegen" in path.parts:
            continue
        for name, call in calls(ast.parse(path.read_text("utf-8"))):
            into = next((ast.unparse(k.value) for k in call.keywords if k.arg == "type"), "")
            record = bool(into) and not into.startswith(("dict[", "list["))
            if name.startswith("msgspec.json.Decoder") or (
                name == "msgspec.json.decode" and record
            ):
                found.append(f"{path.relative_to(PACKAGE)}:{call.lineno}")
    assert found == []
