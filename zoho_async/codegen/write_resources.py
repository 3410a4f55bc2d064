"""Write the classes of bound calls: one per resource, and one per product.

The names cannot clash with structs: a resource's class ends in ``Resource`` (``InvoicesResource``),
a product's class has the product's full name (``ZohoBooks``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from zoho_async.codegen import words
from zoho_async.codegen.lines import docstring, imported
from zoho_async.codegen.model import ResourceModel
from zoho_async.codegen.naming import plural


def resource_class(module: str) -> str:
    """The name of the class for the module ``invoices``."""
    return f"{words.camel(module)}Resource"


def product_class(product: str) -> str:
    """The name of the class for a product."""
    return f"Zoho{product.capitalize()}"


def resource_lines(product: str, resource: ResourceModel, functions: Iterable[str]) -> list[str]:
    """The class that binds the ``functions`` of a resource to a session."""
    many = words.phrase(plural(resource.noun)).capitalize()
    about = f"{many} of Zoho {product.capitalize()}: ``zoho.{product}.{resource.name}``."
    # After `list = bound(list)`, an annotation `list[...]` in the class would mean the function.
    return [
        f"class {resource_class(resource.name)}(Resource):",
        *docstring(about, "    "),
        "",
        *(f"    {name} = bound({name})" for name in functions),
    ]


def product_lines(product: str, resources: Sequence[ResourceModel]) -> list[str]:
    """The class whose properties are the resources, each imported on its first use."""
    lines = [
        f"class {product_class(product)}(Resource):",
        *docstring(f"The resources of Zoho {product.capitalize()}: ``zoho.{product}``.", "    "),
    ]
    for each in resources:
        name = resource_class(each.name)
        lines += [
            "",
            "    @cached_property",
            f"    def {each.name}(self) -> {name}:",
            *docstring(f"{words.phrase(plural(each.noun)).capitalize()}.", "        "),
            *_indented(imported(f"zoho_async.{product}.{each.name}", [name]), "        "),
            "",
            f"        return {name}(self._session)",
        ]
    return lines


def product_imports(product: str, resources: Sequence[ResourceModel]) -> list[str]:
    """The imports of resource classes that only type checkers read."""
    lines = [
        line
        for each in sorted(resources, key=lambda each: each.name)
        for line in imported(f"zoho_async.{product}.{each.name}", [resource_class(each.name)])
    ]
    return ["if TYPE_CHECKING:", *_indented(lines, "    ")]


def _indented(lines: Iterable[str], indent: str) -> list[str]:
    return [f"{indent}{line}" for line in lines]
