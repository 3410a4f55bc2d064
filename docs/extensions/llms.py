"""Write ``llms.txt`` and a Markdown copy of each page next to it, for readers that are programs.

The copy of ``howto/read.html`` is ``howto/read.md``. It is the page's source, with links between
pages as they are, and with the text of the modules that the page documents.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from sphinx.application import Sphinx

from docs.extensions.generated import PACKAGE
from docs.extensions.products import index
from zoho_async.operation import PRODUCTS

_LABEL: Final = re.compile(r"^\([\w.]+\)=\n", re.MULTILINE)
_LABEL_LINK: Final = re.compile(r"\[([^\]]+)\]\(#(\w+)\.(\w+)\.([\w.]+)\)")
_TOCTREE: Final = re.compile(r"^(`{3,})\{toctree\}\n(.*?)^\1\n", re.MULTILINE | re.DOTALL)
_AUTODOC: Final = re.compile(r"^```\{eval-rst\}\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
_INCLUDE: Final = re.compile(r"^```\{literalinclude\} (\S+)\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
_TITLE: Final = re.compile(r"^# (.+)$", re.MULTILINE)


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("html-page-context", _link_copy)
    app.connect("build-finished", _write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _link_copy(
    app: Sphinx, pagename: str, template: str, context: dict[str, Any], doctree: object
) -> None:
    if doctree is not None:
        name = pagename.rpartition("/")[2]
        link = f'<link rel="alternate" type="text/markdown" href="{name}.md">'
        context["metatags"] = f"{context.get('metatags', '')}\n    {link}"


def _write(app: Sphinx, error: Exception | None) -> None:
    if error is not None or app.builder.format != "html":
        return
    copies = {name: copy(Path(str(app.env.doc2path(name)))) for name in sorted(app.env.found_docs)}
    for name, text in copies.items():
        path = Path(app.outdir) / f"{name}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    text = overview((Path(app.srcdir) / "index.md").read_text("utf-8"), copies)
    (Path(app.outdir) / "llms.txt").write_text(text, "utf-8")


def overview(front: str, copies: dict[str, str]) -> str:
    """The text of ``llms.txt``: each page with its first sentence, in the front page's order."""
    about = " ".join(front.split("\n\n")[1].split())
    lines = ["# zoho_async", "", f"> {about.replace('**', '')}", ""]
    for _, body in _TOCTREE.findall(front):
        caption, names = _entries(body)
        lines += [f"## {caption}", "", *(_entry(name, copies[name]) for name in names), ""]
    for product in PRODUCTS:
        lines += [f"## Resources of {product.capitalize()}", ""]
        names = [name for name in copies if name.startswith(f"products/{product}/")]
        lines += [*(_entry(name, copies[name]) for name in names), ""]
    return "\n".join(lines)


def _entries(body: str) -> tuple[str, list[str]]:
    """The caption and the pages of a table of contents."""
    lines = [line.strip() for line in body.splitlines() if line.strip()]
    captions = [line.partition(": ")[2] for line in lines if line.startswith(":caption:")]
    return "".join(captions), [line for line in lines if not line.startswith(":")]


def _entry(name: str, text: str) -> str:
    title = _TITLE.search(text)
    after = text[title.end() :] if title else text
    first = next((part for part in after.split("\n\n") if re.match(r"\s*(?!```)[A-Z`]", part)), "")
    sentence = re.split(r"(?<=[.])\s", " ".join(first.split()))[0].rstrip(":")
    note = f": {sentence}" if sentence else ""
    return f"- [{title[1] if title else name}]({name}.md){note}"


def copy(page: Path) -> str:
    """A page as plain Markdown."""
    text = page.read_text("utf-8")
    if page.parent.name == "products":
        text += index(page.stem)
    text = _TOCTREE.sub(lambda found: _contents(page.parent, found[2]), text)
    text = _INCLUDE.sub(lambda found: _included(page.parent / found[1]), text)
    text = _AUTODOC.sub(lambda found: _documented(found[1]), text)
    return _LABEL_LINK.sub(lambda found: _link(page, found), _LABEL.sub("", text))


def _link(page: Path, found: re.Match[str]) -> str:
    """A link to an operation or a struct, which in a copy is a heading."""
    text, product, name, rest = found.groups()
    heading = rest.rpartition(".")[2].lower()
    if page.parent.name == product and page.stem == name:
        return f"[{text}](#{heading})"
    path = f"{product}/{name}.md" if page.parent.name == "products" else f"../{product}/{name}.md"
    return f"[{text}]({path}#{heading})"


def _contents(folder: Path, body: str) -> str:
    caption, names = _entries(body)
    lines = [f"## {caption}", ""] if caption else []
    for name in names:
        title = _TITLE.search((folder / f"{name}.md").read_text("utf-8"))
        lines.append(f"- [{title[1] if title else name}]({name}.md)")
    return "\n".join([*lines, ""])


def _included(path: Path) -> str:
    return f"```python\n{path.read_text('utf-8')}```\n"


# -- modules ------------------------------------------------------------------------------------


def _documented(directives: str) -> str:
    """The text of the modules and classes that a block of directives documents."""
    lines: list[str] = []
    for block in re.split(r"^(?=\.\. )", directives, flags=re.MULTILINE):
        directive, _, rest = block.partition("::")
        target, _, options = rest.strip().partition("\n")
        if directive == ".. automodule":
            lines += _module(target, options)
        elif directive in (".. autoclass", ".. autoexception"):
            module, _, name = target.rpartition(".")
            lines += _definition(next(_named(_parsed(module), {name})))
    return "\n".join(lines) + "\n"


def _parsed(module: str) -> ast.Module:
    path = PACKAGE.joinpath(*module.split(".")[1:])
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(path.read_text("utf-8"))


def _module(name: str, options: str) -> list[str]:
    tree = _parsed(name)
    lines = [f"## {name}", "", ast.get_docstring(tree) or "", ""]
    if ":no-members:" in options:
        return lines
    chosen = re.search(r":members: (.+)", options)
    left_out = re.search(r":exclude-members: (.+)", options)
    wanted = set(chosen[1].split(", ")) if chosen else None
    for node in _named(tree, wanted):
        if left_out is None or node.name not in left_out[1].split(", "):
            lines += _definition(node)
    return lines


_Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def _named(tree: ast.Module, wanted: set[str] | None) -> Iterator[_Definition]:
    for node in tree.body:
        if isinstance(node, _Definition) and (
            node.name in wanted if wanted else not node.name.startswith("_")
        ):
            yield node


def _definition(node: _Definition) -> list[str]:
    """The declaration of a class or function, its docstring and its public methods."""
    lines = [f"### {node.name}", "", "```python", _declared(node), "```", ""]
    lines += [ast.get_docstring(node) or "", ""]
    if isinstance(node, ast.ClassDef):
        for each in node.body:
            if not isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            about = ast.get_docstring(each)
            if about and not each.name.startswith("_"):
                lines += [f"#### {node.name}.{each.name}", ""]
                lines += ["```python", _declared(each), "```", "", about, ""]
    return lines


def _declared(node: _Definition) -> str:
    """A definition without its body, or a class with its fields and constructor."""
    if isinstance(node, ast.ClassDef):
        kept = [
            ast.unparse(each)
            for each in node.body
            if isinstance(each, ast.AnnAssign) and not ast.unparse(each.target).startswith("_")
        ]
        kept += [
            _declared(each)
            for each in node.body
            if isinstance(each, ast.FunctionDef) and each.name == "__init__"
        ]
        bases = ", ".join(ast.unparse(base) for base in node.bases)
        head = f"class {node.name}({bases}):" if bases else f"class {node.name}:"
        return "\n".join([head, *(f"    {line}" for line in kept or ["..."])])
    word = "async def" if isinstance(node, ast.AsyncFunctionDef) else "def"
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"{word} {node.name}({ast.unparse(node.args)}){returns}: ..."
