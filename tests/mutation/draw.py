"""Draw mutants of the package with mutmut's generator, and write modules that hold them.

mutmut keeps each mutant as a copy of its function in the same module. A trampoline calls the copy
that ``MUTANT_UNDER_TEST`` names, so a process imports a module once for all its mutants.

mutmut itself runs this package, too, but writes every mutant: 19,162 on 2026-11-28, in 458 s,
and one module of 649 lines grew to 47,087. So only its generator is used, for the drawn mutants.
"""

from __future__ import annotations

import ast
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import libcst as cst
from libcst.metadata import MetadataWrapper, PositionProvider
from mutmut.mutation.file_mutation import Mutation, combine_mutations_to_source, create_mutations

#: What is mutated: each package whole, and of ``export`` the modules that decide which rows are
#: read and written. Options, plans that are only printed, events and reports are left out.
SCOPE: Final[Mapping[str, Sequence[str]]] = {
    "limits": ("zoho_async/limits/**/*.py",),
    "paging": ("zoho_async/paging/**/*.py",),
    "auth": ("zoho_async/auth/**/*.py",),
    "http": ("zoho_async/http/**/*.py",),
    "export": (
        "zoho_async/export/checkpoint/*.py",
        *(
            f"zoho_async/export/{name}.py"
            for name in (
                "bookmark", "cost", "deletions", "feed", "feed_pass", "feeds", "incremental", "job",
                "part_begin", "part_end", "pass_reader", "passes", "prover", "reader",
                "resource_store", "tries", "write_queue", "writer",
            )
        ),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """One change of one module.

    Attributes:
        package: the key of `SCOPE` that it belongs to.
        module: the path of the module.
        line: the line of the changed expression.
        change: the expression before and after.
        key: the name that the trampolines know it by.
        lines: the lines of the statement, which a test must run to notice the change.
        body: the lines of the function, for a statement that runs when the module is imported.
    """

    package: str
    module: str
    line: int
    change: str
    key: str
    lines: tuple[int, int]
    body: tuple[int, int]


@dataclass(frozen=True)
class Source:
    """A module with all its possible mutants, before the draw."""

    package: str
    module: str
    code: str
    tree: cst.Module
    mutations: Sequence[Mutation]


def modules(root: Path, only: str = "") -> dict[str, str]:
    """Return the package of each module of `SCOPE` that has functions, and ``only`` in its path."""
    return {
        path.relative_to(root).as_posix(): package
        for package, patterns in SCOPE.items()
        for path in sorted({path for pattern in patterns for path in root.glob(pattern)})
        if only in path.as_posix() and "def " in path.read_text("utf-8")
    }


def source(package: str, module: str, code: str) -> Source:
    """Find the possible mutants of a module."""
    tree, mutations, _, _ = create_mutations(module, code)
    inside = [
        mutation
        for mutation in mutations
        if isinstance(mutation.contained_by_top_level_function, cst.FunctionDef)
    ]
    return Source(package, module, code, tree, inside)


def shares(sizes: Mapping[str, int], total: int) -> dict[str, int]:
    """Divide ``total`` in proportion to ``sizes``; the largest remainders get what is left."""
    whole = sum(sizes.values())
    exact = {name: total * size / whole for name, size in sizes.items()}
    result = {name: int(share) for name, share in exact.items()}
    rest = sorted(exact, key=lambda name: (result[name] - exact[name], name))
    for name in rest[: total - sum(result.values())]:
        result[name] += 1
    return result


def draw(each: Source, count: int, seed: int) -> list[Mutation]:
    """Draw mutants of a module.

    Their order is a digest of the seed and the change, so an edit of one function does not change
    which mutants of the others are drawn.
    """
    seen: Counter[str] = Counter()
    ranked: list[tuple[bytes, int]] = []
    for index, mutation in enumerate(each.mutations):
        function = mutation.contained_by_top_level_function
        assert function is not None
        identity = f"{seed}:{each.module}:{function.name.value}:{change(each.tree, mutation)}"
        seen[identity] += 1
        digest = hashlib.sha256(f"{identity}:{seen[identity]}".encode()).digest()
        ranked.append((digest, index))
    chosen = sorted(index for _, index in sorted(ranked)[:count])
    return [each.mutations[index] for index in chosen]


def change(tree: cst.Module, mutation: Mutation) -> str:
    """Show the expression before and after, each on one line."""
    before, after = (
        " ".join(tree.code_for_node(node).split())
        for node in (mutation.original_node, mutation.mutated_node)
    )
    return f"{before}  ->  {after}"


def write(each: Source, chosen: Sequence[Mutation]) -> tuple[str, list[Mutant]]:
    """Return the code of a module with the chosen mutants in it, and the mutants."""
    combined = combine_mutations_to_source(each.tree, chosen)
    positions = MetadataWrapper(each.tree, unsafe_skip_copy=True).resolve(PositionProvider)
    name = each.module.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    parsed = ast.parse(each.code)
    mutants: list[Mutant] = []
    for mutation, key in zip(chosen, combined.mutant_names, strict=True):
        function = mutation.contained_by_top_level_function
        assert function is not None
        line = positions[mutation.original_node].start.line
        span = positions[function]
        mutants.append(
            Mutant(
                each.package,
                each.module,
                line,
                change(each.tree, mutation),
                f"{name}.{key}",
                statement(parsed, line),
                (positions[function.body].start.line, span.end.line),
            )
        )
    return combined.code, mutants


def statement(parsed: ast.Module, line: int) -> tuple[int, int]:
    """Return the first and last line of the innermost statement at a line.

    Of a compound statement it is the head: its condition, not what it holds.
    """
    result = (line, line)
    for node in ast.walk(parsed):  # breadth first: the innermost comes last
        if isinstance(node, ast.stmt | ast.match_case | ast.ExceptHandler):
            body = getattr(node, "body", None)
            first = getattr(node, "lineno", getattr(getattr(node, "pattern", None), "lineno", line))
            last = getattr(node, "end_lineno", None) or first
            if body:
                last = max(first, body[0].lineno - 1)
            if first <= line <= last:
                result = (first, last)
    return result
