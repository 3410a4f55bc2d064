"""Write the page of each resource, and the tables of each product, when the site is built.

A page of the folder ``products`` that is called as a product gets a table of its operations at its
end. The pages of resources go into a folder per product, which git ignores.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from sphinx.application import Sphinx

from docs.extensions.generated import resource
from docs.extensions.resources import CONFIDENCE, Page, observed, ordered, plain
from zoho_async.description import operations
from zoho_async.operation import PRODUCTS

_FOLDER: Final = "products"


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("builder-inited", _write_pages)
    app.connect("source-read", _append_tables)
    app.connect("viewcode-find-source", _skip_source)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def pages(product: str) -> Iterator[Page]:
    """The page of each resource of a product."""
    for name in sorted({each.resource.partition(".")[2] for each in operations(product)}):
        yield Page(resource(product, name))


def _write_pages(app: Sphinx) -> None:
    for product in PRODUCTS:
        folder = Path(app.srcdir) / _FOLDER / product
        folder.mkdir(exist_ok=True)
        texts = {f"{each.resource.name}.md": each.source() for each in pages(product)}
        for path in folder.glob("*.md"):
            if path.name not in texts:
                path.unlink()
        for name, text in texts.items():
            path = folder / name
            # A page that is as it was keeps its time, so that Sphinx does not read it again.
            if not path.is_file() or path.read_text("utf-8") != text:
                path.write_text(text, "utf-8")


def _append_tables(app: Sphinx, docname: str, source: list[str]) -> None:
    folder, _, product = docname.partition("/")
    if folder == _FOLDER and product in PRODUCTS:
        source[0] += index(product)


def _skip_source(app: Sphinx, module: str) -> tuple[str, dict[str, Any]] | None:
    """No highlighted copy of generated code, which would be most of the site."""
    return ("", {}) if module.split(".")[1:2] and module.split(".")[1] in PRODUCTS else None


def index(product: str) -> str:
    """The pages of a product, and a table of the operations of each."""
    ours, count = observed(product), len(operations(product))
    lines = ["", "## Resources", ""]
    lines += [f"{count - len(ours)} operations are described by Zoho.", ""]
    if ours:
        lines += [f"{len(ours)} are observed: in no OpenAPI file, but used by clients.", ""]
    lines += ["```{toctree}", ":maxdepth: 1", ""]
    every = list(pages(product))
    lines += [f"{product}/{each.resource.name}" for each in every]
    lines += ["```", ""]
    for page in every:
        lines += [f"## {page.resource.name}", ""]
        lines += ["| operation | call and scope |", "|---|---|"]
        for name in ordered(page.resource.functions):
            each = page.resource.functions[name]
            scope = f"<br>`{each.scope}`" if each.scope else ""
            seen = ours.get(f"{page.resource.name}.{name}")
            scope += f"<br>observed, {CONFIDENCE[seen.confidence]} confidence" if seen else ""
            summary = plain(each.about.partition("\n")[0])
            lines.append(
                f"| [`{name}`](#{page.label(name)})<br>{summary} "
                f"| `{each.method} {each.path}`{scope} |"
            )
        lines.append("")
    return "\n".join(lines)
