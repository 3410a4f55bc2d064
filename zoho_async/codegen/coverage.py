"""The README's table of resources: what is covered, counted from what is generated."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from zoho_async.codegen.model import Model
from zoho_async.operation import PRODUCTS

README: Final = Path(__file__).parents[2] / "README.md"
_BEGIN: Final = "<!-- coverage: written by python -m zoho_async.codegen -->\n"
_END: Final = "<!-- end of coverage -->\n"


def readme(text: str, models: Sequence[Model]) -> str:
    """The README with its table as it should be. Raises `ValueError` where it has no place."""
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"README.md needs the lines {_BEGIN.strip()!r} and {_END.strip()!r}")
    return f"{before}{_BEGIN}\n{table(models)}\n{_END}{after}"


def table(models: Sequence[Model]) -> str:
    """A row for each product: its resources with the number of their operations."""
    rows = ["| product | operations | resources |", "|---|---|---|"]
    for model in models:
        version = PRODUCTS[model.product].base_path.rpartition("/")[2]
        counted = ", ".join(f"{each.name} {len(each.functions)}" for each in model.resources)
        title = f"{model.product.capitalize()} {version}"
        rows.append(f"| {title} | {len(model.functions())} | {counted} |")
    return "\n".join(rows) + "\n"
