"""The layout of the package: floors, cycles, names.

A module imports only from its own floor or from lower ones, and no modules import each other in a
circle. Imports under ``TYPE_CHECKING`` do not count: they do not run.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from functools import cache
from itertools import pairwise
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "zoho_async"
PRODUCTS = ("books", "invoice", "billing", "inventory")

#: Lowest first. A name is a module or a folder of the package; ``types`` and ``functions`` are the
#: generated modules of the products.
FLOORS = (
    ("_msgspec", "clock", "errors", "events", "exclusive_database", "files", "fork", "regions"),
    ("description", "operation", "resource", "wire"),
    ("types",),
    ("auth", "http", "limits"),
    ("organizations", "session"),
    ("paging",),
    ("reports",),
    ("functions",),
    ("runtime",),
    ("export", "importer", "legacy", "observability", "webhooks"),
    ("verify",),
    ("integrations",),
    ("codegen", "sandbox"),
    ("cli", "pytest_plugin"),
)
#: Imports that go upwards on purpose, with the reason.
EXEMPT = {
    ("zoho_async.session", f"zoho_async.{product}"): f"Session.{product} loads on its first use"
    for product in PRODUCTS
}
#: What the sandbox may know of the package that it judges.
KNOWN_TO_SANDBOX = {"_msgspec", "description", "errors", "operation", "types", "sandbox"}


@cache
def modules() -> dict[str, Path]:
    """Each module of the package by its dotted name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = ("zoho_async", *path.relative_to(PACKAGE).with_suffix("").parts)
        found[".".join(parts).removesuffix(".__init__")] = path
    return found


def is_type_checking(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def running(node: ast.AST) -> list[ast.AST]:
    """The nodes below ``node`` that run, in any order."""
    found: list[ast.AST] = []
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and is_type_checking(child):
            for other in child.orelse:
                found += [other, *running(other)]
        else:
            found += [child, *running(child)]
    return found


@cache
def imports(module: str) -> frozenset[str]:
    """The modules of the package that ``module`` imports."""
    found = set()
    for node in running(ast.parse(modules()[module].read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.add(whole if whole in modules() else node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return frozenset(found & modules().keys() - {module})


def part_of(module: str) -> str:
    """The module or folder of the package that ``module`` belongs to."""
    names = module.split(".")[1:]
    if names and names[0] in PRODUCTS:
        return "types" if names[1:2] == ["types"] else "functions"
    return names[0] if names else ""


def floor_of(part: str) -> int:
    return next(number for number, parts in enumerate(FLOORS) if part in parts)


def is_exempt(module: str, other: str) -> bool:
    return any(module == a and f"{other}.".startswith(f"{b}.") for a, b in EXEMPT)


def test_every_module_has_a_floor() -> None:
    parts = {part_of(module) for module in modules()} - {""}
    assert parts == {part for floor in FLOORS for part in floor}


def test_no_module_imports_from_a_higher_floor() -> None:
    upwards = [
        f"{module} imports {other}"
        for module in modules()
        if part_of(module)
        for other in imports(module)
        if part_of(other) and floor_of(part_of(other)) > floor_of(part_of(module))
        if not is_exempt(module, other)
    ]
    assert upwards == []


def test_the_sandbox_knows_only_what_is_described() -> None:
    known = {
        f"{module} imports {other}"
        for module in modules()
        if part_of(module) == "sandbox"
        for other in imports(module)
        if part_of(other) not in {*KNOWN_TO_SANDBOX, ""}
    }
    assert known == set()


def test_no_modules_import_each_other_in_a_circle() -> None:
    done: set[str] = set()
    circles: list[str] = []

    def visit(module: str, path: tuple[str, ...]) -> None:
        if module in path:
            circles.append(" > ".join((*path[path.index(module) :], module)))
        elif module not in done:
            for other in sorted(imports(module)):
                if not is_exempt(module, other):
                    visit(other, (*path, module))
            done.add(module)

    for module in modules():
        visit(module, ())
    assert circles == []


def test_a_circle_and_an_import_upwards_would_be_seen() -> None:
    """The checks read what runs, inside functions too, and nothing under TYPE_CHECKING."""
    program = ast.parse(
        "if TYPE_CHECKING:\n    import a\nelse:\n    import b\ndef f():\n    from c import d\n"
    )
    found = {ast.unparse(node) for node in running(program) if isinstance(node, ast.stmt)}
    assert {"import b", "from c import d"} <= found
    assert "import a" not in found


def test_each_public_class_name_means_one_thing() -> None:
    places = defaultdict(list)
    for module, path in modules().items():
        if part_of(module) not in {"types", "functions"}:
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    places[node.name].append(module)
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


def test_floors_are_listed_once() -> None:
    parts = [part for floor in FLOORS for part in floor]
    assert sorted(parts) == sorted(set(parts))
    assert all(lower != higher for lower, higher in pairwise(FLOORS))


TESTS = Path(__file__).parents[1]


def imports_of_tests(text: str) -> list[str]:
    """The test modules that a test file imports, also inside functions."""
    found: list[str] = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        found += [name for name in names if re.match(r"tests\.(\w+\.)*test_", name)]
    return found


def test_no_test_imports_from_another_test_file() -> None:
    """Shared parts of tests live in ``tests/support``."""
    found = {
        str(path.relative_to(TESTS)): names
        for path in sorted(TESTS.rglob("*.py"))
        if (names := imports_of_tests(path.read_text("utf-8")))
    }
    assert found == {}


def test_an_import_from_a_test_file_would_be_found() -> None:
    program = "from tests.wire import test_a\ndef f():\n    from tests.unit.test_b import c\n"
    assert imports_of_tests(program) == ["tests.wire.test_a", "tests.unit.test_b.c"]
    assert imports_of_tests("from tests.support.command import Command") == []
