"""Shorten the names of structs that nesting made long, by the phrases of the overrides.

A name stays as it is if another struct has the shorter one. Other corrections use the long names.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from zoho_async.codegen.functions import Function
from zoho_async.codegen.overrides import Overrides
from zoho_async.codegen.structs import Family


def shorten(
    families: Sequence[Family], functions: Iterable[Function], overrides: Overrides
) -> None:
    """Rename the structs of a product, wherever they are used."""
    taken = {name for family in families for name in family.shapes}
    names: dict[str, str] = {}
    for name in sorted(taken):
        short = overrides.shorter(name)
        if short != name and short not in taken:
            taken.add(short)
            names[name] = short
    for family in families:
        for shape in family.shapes.values():
            shape.fields = overrides.shorter(shape.fields) if shape.name in names else shape.fields
            shape.name = names.get(shape.name, shape.name)
            for member in shape.members.values():
                member.struct = names.get(member.struct, member.struct)
        family.shapes = {shape.name: shape for shape in family.shapes.values()}
    for function in functions:
        function.body = names.get(function.body, function.body)
        function.result = names.get(function.result, function.result)
