"""Read the generated modules of a resource from their source: functions, structs and facts.

Nothing is imported. The facts are in the source, next to what they are about: in the ``Args:``
section of a function's docstring and in the docstring that follows a field.
"""

from __future__ import annotations

import ast
import functools
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

PACKAGE: Final = Path(__file__).parents[2] / "zoho_async"
_SESSION: Final = "zoho"
_SECTION: Final = re.compile(r"^(Args|Returns|Raises|Yields|Example|Examples):$")
_ARGUMENT: Final = re.compile(r"^ {1,4}\*{0,2}(\w+)(?: \([^)]*\))?: ?(.*)$")


@dataclass(frozen=True)
class Value:
    """A parameter or a field. ``facts`` may be empty."""

    name: str
    type: ast.expr
    facts: str = ""
    required: bool = False


@dataclass(frozen=True)
class Function:
    """An operation as its generated function declares it, without the session."""

    name: str
    about: str
    returns: ast.expr
    positional: tuple[Value, ...]
    named: tuple[Value, ...]
    sections: dict[str, str]
    method: str
    path: str
    scope: str

    @property
    def parameters(self) -> tuple[Value, ...]:
        return (*self.positional, *self.named)


@dataclass(frozen=True)
class Struct:
    """A class of fields. ``fields`` holds the fields of its bases too."""

    name: str
    about: str
    fields: tuple[Value, ...]
    is_input: bool


@dataclass(frozen=True)
class Types:
    """The structs and the aliases that a module can name."""

    structs: dict[str, Struct] = field(default_factory=dict)
    aliases: dict[str, ast.expr] = field(default_factory=dict)


@dataclass(frozen=True)
class Resource:
    """A module of functions with the types that it names."""

    product: str
    name: str
    about: str
    functions: dict[str, Function]
    types: Types

    @property
    def structs(self) -> list[Struct]:
        """Every struct that a signature leads to, in the order in which they are met."""
        found: dict[str, Struct] = {}
        for function in self.functions.values():
            for annotation in (function.returns, *(each.type for each in function.parameters)):
                self._follow(annotation, found)
        return list(found.values())

    def _follow(self, annotation: ast.expr, found: dict[str, Struct]) -> None:
        for name in names_in(annotation):
            struct = self.types.structs.get(name)
            if struct is not None and name not in found:
                found[name] = struct
                for each in struct.fields:
                    self._follow(each.type, found)


def resource(product: str, name: str) -> Resource:
    """Read a resource such as ``books`` and ``invoices``."""
    module = _parsed(PACKAGE / product / f"{name}.py")
    own = _types(PACKAGE / product / "types" / f"{name}.py")
    shared = _types(PACKAGE / product / "types" / "shared.py")
    aliases = shared.aliases | own.aliases | dict(_aliases(module))
    structs = dict(own.structs)
    for imported in _imported(module, PACKAGE / product / "types" / f"{name}.py"):
        structs |= _types(imported).structs
    return Resource(
        product=product,
        name=name,
        about=ast.get_docstring(module) or "",
        functions={each.name: each for each in _functions(module)},
        types=Types(shared.structs | structs, aliases),
    )


def names_in(annotation: ast.expr) -> Iterator[str]:
    """The names that an annotation holds, but not the text of its literals."""
    return (each.id for each in _all_names(annotation))


@functools.cache
def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def _imported(module: ast.Module, own: Path) -> Iterator[Path]:
    """The modules of types that a resource names, apart from its own."""
    for node in module.body:
        if isinstance(node, ast.ImportFrom) and node.module and ".types." in node.module:
            path = PACKAGE.joinpath(*node.module.split(".")[1:]).with_suffix(".py")
            if path != own:
                yield path


def _aliases(module: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    for node in module.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            is_alias = ast.unparse(node.annotation) == "TypeAlias"
            if is_alias and node.value is not None:
                yield node.target.id, node.value


@functools.cache
def _types(path: Path) -> Types:
    if not path.is_file():
        return Types()
    module = _parsed(path)
    declared: dict[str, ast.ClassDef] = {}
    for each in _imported(module, path):
        declared |= _classes(_parsed(each))
    own = _classes(module)
    declared |= own
    return Types({name: _struct(own[name], declared) for name in own}, dict(_aliases(module)))


def _classes(module: ast.Module) -> dict[str, ast.ClassDef]:
    return {node.name: node for node in module.body if isinstance(node, ast.ClassDef)}


def _struct(node: ast.ClassDef, declared: dict[str, ast.ClassDef]) -> Struct:
    fields: dict[str, Value] = {}
    lineage = [node]
    while (base := _base(lineage[-1])) in declared:
        lineage.append(declared[base])
    for each in reversed(lineage):
        fields |= {value.name: value for value in _fields(each)}
    return Struct(
        name=node.name,
        about=ast.get_docstring(node) or "",
        fields=tuple(fields.values()),
        is_input=_base(lineage[-1]) == "Input",
    )


def _base(node: ast.ClassDef) -> str:
    return node.bases[0].id if node.bases and isinstance(node.bases[0], ast.Name) else ""


def _fields(node: ast.ClassDef) -> Iterator[Value]:
    for each, after in zip(node.body, [*node.body[1:], None], strict=True):
        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name):
            facts = ""
            if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
                facts = inspect.cleandoc(str(after.value.value))
            yield Value(each.target.id, each.annotation, facts, _has_no_default(each.value))


def _has_no_default(value: ast.expr | None) -> bool:
    """Whether a field must be given: it has no value, or a ``field(...)`` without a default."""
    if isinstance(value, ast.Call):
        return not any(each.arg in ("default", "default_factory") for each in value.keywords)
    return value is None


def _calls(module: ast.Module) -> dict[str, dict[str, str]]:
    """The text arguments of each operation's constant: its method, path and scope."""
    return {
        node.targets[0].id: {
            each.arg: str(each.value.value)
            for each in node.value.keywords
            if each.arg and isinstance(each.value, ast.Constant)
        }
        for node in module.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Call)
    }


def _functions(module: ast.Module) -> Iterator[Function]:
    calls = _calls(module)
    for node in module.body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if node.name.startswith("_") or node.returns is None:
            continue
        about, sections = parts(ast.get_docstring(node) or "")
        facts = arguments(sections.get("Args", ""))
        call = next(calls[each.id] for each in _all_names(node) if each.id in calls)
        arg = node.args
        last = len(arg.args) - len(arg.defaults)
        positional = [
            _parameter(each, facts, required=place < last) for place, each in enumerate(arg.args)
        ]
        named = [
            _parameter(each, facts, required=default is None)
            for each, default in zip(arg.kwonlyargs, arg.kw_defaults, strict=True)
        ]
        yield Function(
            name=node.name,
            about=about,
            returns=node.returns,
            positional=tuple(each for each in positional if each.name != _SESSION),
            named=tuple(named),
            sections=sections,
            method=call.get("method", "GET"),
            path=call["path"],
            scope=call.get("scope", ""),
        )


def _all_names(node: ast.AST) -> Iterator[ast.Name]:
    return (each for each in ast.walk(node) if isinstance(each, ast.Name))


def _parameter(argument: ast.arg, facts: dict[str, str], *, required: bool) -> Value:
    assert argument.annotation is not None
    return Value(argument.arg, argument.annotation, facts.get(argument.arg, ""), required)


def parts(docstring: str) -> tuple[str, dict[str, str]]:
    """The text of a Google-style docstring, and its sections by name."""
    about: list[str] = []
    sections: dict[str, list[str]] = {}
    current = about
    for line in docstring.splitlines():
        if found := _SECTION.match(line):
            current = sections.setdefault(found[1], [])
        else:
            # A paragraph without indentation after a section belongs to the text again.
            if current is not about and line and not line.startswith(" "):
                current = about
            current.append(line)
    text = "\n".join(about).strip()
    return text, {name: "\n".join(lines).rstrip() for name, lines in sections.items()}


def arguments(section: str) -> dict[str, str]:
    """The text of each argument of an ``Args:`` section."""
    found: dict[str, list[str]] = {}
    for line in section.splitlines():
        if begins := _ARGUMENT.match(line):
            found[begins[1]] = [begins[2]]
        elif found:
            found[next(reversed(found))].append(line.strip())
    return {name: " ".join(lines).strip() for name, lines in found.items()}
