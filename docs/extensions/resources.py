"""Write a Markdown page for each resource of each product.

A page has an example, then each operation with its parameters, then each record and input with its
fields. The pages are written when the site is built, into ``docs/products/<product>/``.
"""

from __future__ import annotations

import ast
import functools
import html
import re
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from docs.extensions.examples import example
from docs.extensions.generated import Function, Resource, Struct, Types, Value
from zoho_async.description import Endpoint, operations

CONFIDENCE: Final = {"": "", "H": "high", "M": "medium", "L": "low"}
_FIRST: Final = ("list", "get", "create", "update", "delete")
_WIDTH: Final = 88
_UNSET: Final = {"None", "UnsetType"}
_SCOPE: Final = re.compile(r"^Scope: .*\.$\n?", re.MULTILINE)
#: Parameters of nearly every operation, which the index page explains once.
COMMON: Final = {
    "extra_query": "More query parameters, by Zoho's names.",
    "extra_body": "More fields of the body, by Zoho's names.",
}
_HEADING: Final = re.compile(r"^### (\w+)$", re.MULTILINE)
_LIST: Final = re.compile(r"^(?:- \*\*`.*\n)+", re.MULTILINE)
_KINDS: Final = {
    "dt.date": "date",
    "dt.datetime": "datetime",
    "Mapping[str, object]": "mapping",
    "Mapping[str, Any]": "mapping",
    "dict[str, Any]": "dict",
}


@functools.cache
def observed(product: str) -> dict[str, Endpoint]:
    """The operations of a product that are in no OpenAPI file, by resource and function."""
    return {
        each.name.removeprefix(f"{product}."): each for each in operations(product) if each.evidence
    }


@dataclass(frozen=True)
class Page:
    """A page of a resource.

    In the site its lists of parameters and fields are HTML, because there are 30,000 lines of them:
    Sphinx takes minutes to read them as Markdown.
    """

    resource: Resource

    @property
    def title(self) -> str:
        words = self.resource.name.replace("_", " ")
        return f"{words.capitalize()} ({self.resource.product.capitalize()})"

    @property
    def summary(self) -> str:
        """The first sentence about the resource."""
        return self.resource.about.partition("\n")[0]

    def markdown(self) -> str:
        """The whole page as plain Markdown."""
        codes = split_codes(self.resource.about)[1]
        parts = [*self._head(), *self._operations(), *codes, *self._structs(), ""]
        return "\n".join(parts)

    def source(self) -> str:
        """The whole page for Sphinx: with labels, and lists in HTML."""
        text = _HEADING.sub(
            lambda found: f"({self._target(found[1])})=\n{found[0]}", self.markdown()
        )
        return _LIST.sub(lambda found: f"{html_list(found[0])}\n", text)

    def _target(self, name: str) -> str:
        return self.label(name, "" if name in self.resource.functions else "fields")

    def _head(self) -> list[str]:
        product, name = self.resource.product, self.resource.name
        return [
            f"# {self.title}",
            "",
            plain(split_codes(self.resource.about)[0]),
            "",
            *_code(example(self.resource)),
            "",
            f"`zoho.{product}.{name}` holds these operations, bound to the "
            f"[session](../../reference/session.md) `zoho`. The layer below is the module "
            f"`zoho_async.{product}.{name}`: its functions take the session as their first "
            "argument. [How operations behave](../../reference/paging.md).",
            "",
        ]

    def _operations(self) -> list[str]:
        lines = ["## Operations", ""]
        for name in ordered(self.resource.functions):
            lines += self._operation(self.resource.functions[name])
        return lines

    def _operation(self, function: Function) -> list[str]:
        scope = f", scope `{function.scope}`" if function.scope else ""
        return [
            f"### {function.name}",
            "",
            plain(_SCOPE.sub("", function.about).strip()),
            "",
            *_code(signature(function, f"zoho.{self.resource.product}.{self.resource.name}")),
            "",
            f"`{function.method} {function.path}`{scope}. {self._returns(function)}",
            "",
            *self._evidence(function),
            *self._values(each for each in function.parameters if each.name not in COMMON),
            *(
                f"{plain(function.sections[name])}\n"
                for name in ("Returns", "Raises")
                if name in function.sections
            ),
        ]

    def _evidence(self, function: Function) -> list[str]:
        """What an operation that is in no OpenAPI file rests on."""
        found = observed(self.resource.product).get(f"{self.resource.name}.{function.name}")
        return [f"Observed with: {plain(found.evidence)}.", ""] if found else []

    def _returns(self, function: Function) -> str:
        shown = self._type(function.returns)
        if isinstance(function.returns, ast.Subscript):
            outer = ast.unparse(function.returns.value)
            if outer == "Pager":
                return f"Returns a `Pager` of {self._type(function.returns.slice)}."
        return f"Returns {shown}."

    def _structs(self) -> list[str]:
        structs = self.resource.structs
        lines: list[str] = []
        for title, chosen in (
            ("Records", [each for each in structs if not each.is_input]),
            ("Inputs", [each for each in structs if each.is_input]),
        ):
            if chosen:
                lines += [f"## {title}", ""]
                for each in chosen:
                    lines += self._struct(each)
        return lines

    def _struct(self, struct: Struct) -> list[str]:
        module = f"zoho_async.{self.resource.product}.{self.resource.name}"
        return [
            f"### {struct.name}",
            "",
            plain(struct.about),
            "",
            *([f"`from {module} import {struct.name}`", ""] if struct.is_input else []),
            *self._values(struct.fields),
        ]

    def _values(self, values: Iterable[Value]) -> list[str]:
        lines = [self._value(each) for each in values]
        return [*lines, ""] if lines else []

    def _value(self, value: Value) -> str:
        required = ", required" if value.required else ""
        facts = f": {plain(' '.join(value.facts.split()))}" if value.facts else ""
        shown = self._type(value.type)
        if shown.startswith("`") and shown.partition(",")[0] in facts:
            shown = "`str`"  # the facts name the allowed values
        return f"- **`{value.name}`** {shown}{required}{facts}"

    def _type(self, annotation: ast.expr) -> str:
        """A type in Markdown. ``None`` and ``UNSET``, which nearly all accept, are left out."""
        types = self.resource.types
        return " or ".join(self._part(each, types) for each in alternatives(annotation, types))

    def _part(self, annotation: ast.expr, types: Types) -> str:
        if isinstance(annotation, ast.Subscript):
            outer = ast.unparse(annotation.value)
            if outer in ("Sequence", "list"):
                return f"list of {self._type(annotation.slice)}"
            if outer == "Literal":
                return ", ".join(f"`{each}`" for each in literals(annotation))
        if isinstance(annotation, ast.Name) and annotation.id in types.structs:
            return f"[`{annotation.id}`](#{self.label(annotation.id, 'fields')})"
        text = ast.unparse(annotation)
        return f"`{_KINDS.get(text, text)}`"

    def label(self, name: str, kind: str = "") -> str:
        """A name for links that is unique over all pages, also without regard to case."""
        parts = (self.resource.product, self.resource.name, kind, name)
        return ".".join(part for part in parts if part)


def ordered(functions: Iterable[str]) -> list[str]:
    """List, get, create, update and delete first, then the others by name."""
    names = set(functions)
    return [*(each for each in _FIRST if each in names), *sorted(names - set(_FIRST))]


def signature(function: Function, resource: str) -> str:
    """The call as a reader writes it: the bound form, wrapped."""
    words = [each.name for each in function.positional]
    if function.named:
        words.append("*")
        words += [each.name if each.required else f"{each.name}=None" for each in function.named]
    head, end = f"{resource}.{function.name}(", f") -> {ast.unparse(function.returns)}"
    line = head + ", ".join(words) + end
    if len(line) <= _WIDTH:
        return line
    indented = textwrap.fill(
        ", ".join(words) + ",",
        _WIDTH,
        initial_indent="    ",
        subsequent_indent="    ",
        break_long_words=False,
    )
    return f"{head}\n{indented}\n{end}"


def alternatives(annotation: ast.expr, types: Types) -> list[ast.expr]:
    """The members of a union, with aliases replaced."""
    if isinstance(annotation, ast.BinOp):
        return [
            *alternatives(annotation.left, types),
            *alternatives(annotation.right, types),
        ]
    if isinstance(annotation, ast.Name) and annotation.id in types.aliases:
        return alternatives(types.aliases[annotation.id], types)
    if ast.unparse(annotation) in _UNSET:
        return []
    return [annotation]


def literals(annotation: ast.Subscript) -> list[str]:
    """The values of a ``Literal``."""
    inner = annotation.slice
    elements = inner.elts if isinstance(inner, ast.Tuple) else [inner]
    return [str(each.value) for each in elements if isinstance(each, ast.Constant)]


def plain(text: str) -> str:
    """A docstring as Markdown: one kind of backtick, and no accidental markup."""
    pieces = re.split(r"(``.+?``|`[^`]+`)", text)
    return "".join(
        f"`{piece.strip('`')}`"
        if piece.startswith("`")
        else re.sub(r"([*_<>\[\]|])", r"\\\1", piece)
        for piece in pieces
    )


def html_list(lines: str) -> str:
    """A list of values as HTML. Its lines have code, bold names and links within the page."""
    text = html.escape(lines, quote=False)
    text = re.sub(r"\[`(.+?)`\]\(#(.+?)\)", lambda found: _anchor(found[1], found[2]), text)
    text = re.sub(r"`([^`]+)`", r'<code class="literal">\1</code>', text)
    text = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", text)
    text = re.sub(r"\\([*_<>\[\]|&])", r"\1", text)
    return '<ul class="values">\n' + re.sub(r"^- (.*)$", r"<li>\1</li>", text, flags=re.M) + "</ul>"


def _anchor(name: str, label: str) -> str:
    """A link to a heading, whose id Sphinx makes of its label."""
    return f'<a href="#{label.lower().replace(".", "-").replace("_", "-")}">`{name}`</a>'


def split_codes(about: str) -> tuple[str, list[str]]:
    """The docstring of a module without its error codes, and these as a section of a page."""
    text, _, codes = about.partition("\n\nError codes of this resource: ")
    if not codes:
        return text, []
    lines = ["## Error codes", ""]
    for each in re.split(r"; (?=\d)", " ".join(codes.removesuffix(".").split())):
        code, _, meaning = each.partition(" ")
        lines.append(f"- `{code}`: {plain(meaning)}")
    return text, [*lines, ""]


def _code(text: str) -> list[str]:
    return ["```python", text, "```"]
