"""Merge the many descriptions of Zoho's objects into one struct per object.

Every reply describes its objects separately: five replies describe an invoice, each with other
fields. A `Family` merges them by these rules:

- An object is named after its resource and the field that holds it (``InvoiceLineItem``).
- Two objects of one name are the same if they share more than half of the smaller one's fields.
  Otherwise the later one adds the name of its parent (``InvoiceLineItemTag``).
- An object in a field that already has a struct is that struct, even if they share few fields: a
  field has one type.
- Objects of many resources, such as addresses, are named in the overrides and live in
  ``types/shared.py``.

Replies and inputs are two families. Inputs have fewer fields and none of the read-only ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from zoho_async.codegen import words
from zoho_async.codegen.kinds import Place, agreed, element_of, kind_of, takes_percent
from zoho_async.codegen.overrides import Overrides
from zoho_async.codegen.spec import Node
from zoho_async.description import Kind

Base: TypeAlias = Literal["Record", "Part", "Input"]
Objects: TypeAlias = Mapping[str, tuple[Node, ...]]

SHARED: Final = "shared"


@dataclass
class Member:
    """A field of a struct, as far as it is known.

    ``struct`` names the object that it holds; ``percent`` says that it may be a share. ``only``
    says that only lists describe it, or only calls for a single record.
    """

    name: str
    kind: Kind
    element: Kind | None = None
    struct: str = ""
    allowed: tuple[str, ...] = ()
    max_length: int | None = None
    max_items: int | None = None
    regions: tuple[str, ...] = ()
    percent: bool = False
    only: Literal["", "list", "record"] = ""

    @property
    def may_be_share(self) -> bool:
        """Whether the amount that it is may be a share instead, with a sign for percent."""
        return self.percent and self.kind == "decimal"

    def join(self, other: Member) -> None:
        """Add what another description of the same field says."""
        if not self.struct:
            self.struct = other.struct
        self.kind = agreed((self.kind, other.kind))
        if other.element is not None:
            self.element = agreed((self.element or "any", other.element))
        if self.kind == "list" and self.element is None:
            self.element = "any"
        self.allowed = tuple(dict.fromkeys((*self.allowed, *other.allowed)))
        lengths = [length for length in (self.max_length, other.max_length) if length is not None]
        self.max_length = max(lengths, default=None)
        self.max_items = self.max_items or other.max_items
        self.percent = self.percent or other.percent
        self.regions = self.regions if self.regions == other.regions else ()


@dataclass
class StructShape:
    """A struct to be: ``home`` is the module of its types, ``called`` what names its records.

    ``required`` are the fields that a create must have. A create and an input of the same record
    share their other fields in the base class ``fields``.
    """

    name: str
    home: str
    base: Base
    row_id: str = ""
    called: tuple[str, ...] = ()
    members: dict[str, Member] = field(default_factory=dict[str, Member])
    required: tuple[str, ...] = ()
    fields: str = ""

    @property
    def stem(self) -> str:
        """The name without what says that it is sent."""
        if self.name == self.fields:
            return self.name.removesuffix("Fields")
        return self.name if self.base != "Input" else re.sub("(Input|Create)$", "", self.name)


class Family:
    """The structs of a product's replies, or of its inputs."""

    def __init__(self, product: str, overrides: Overrides, place: Place) -> None:
        self.shapes: dict[str, StructShape] = {}
        self._product = product
        self._overrides = overrides
        self._place: Place = place
        self._suffix = "Input" if place == "body" else ""
        self._base: Base = "Input" if place == "body" else "Part"

    def add(
        self,
        name: str,
        home: str,
        fields: tuple[Node, ...],
        objects: Objects,
        main: str | None = None,
    ) -> StructShape:
        """Lay an object's fields into the struct ``name``; ``main`` names what it holds."""
        line = (name,) if main is None else (main, name)
        return self._lay(name, home, home, fields, objects, line)

    def named(self, main: str, holder: str) -> str:
        """The name of the object that the field ``holder`` of a resource holds."""
        noun = words.camel(words.snake(holder))
        whole = noun if noun.startswith(main) else f"{main}{noun}"
        return f"{whole}{self._suffix}"

    def nested(
        self, holder: str, parents: tuple[str, ...], fields: tuple[Node, ...], home: str
    ) -> tuple[str, str]:
        """The name and the module of the object under ``holder`` (a singular) below others."""
        present = {node.name for node in fields}
        owners = [parent.removesuffix(self._suffix or "\0") for parent in parents]
        for owner in (owners[0], *reversed(owners)):
            name = self.named(owner, holder)
            known = self.shapes.get(name)
            if name not in parents and (known is None or alike(known, present)):
                return name, home
        return self.named(f"{owners[-1]}Inner", holder), home

    def shared(self, holder: str, fields: tuple[Node, ...], home: str) -> tuple[str, str] | None:
        """The name and the module of the shared struct that an object is, if it is one."""
        present = {node.name for node in fields}
        found = self._overrides.shared_of(self._product, home, holder, present)
        return (f"{found[0]}{self._suffix}", found[1]) if found else None

    def in_order(self, home: str) -> Iterator[StructShape]:
        """The structs of a module, those that others hold first."""
        done: set[str] = set()

        def visit(shape: StructShape) -> Iterator[StructShape]:
            done.add(shape.name)
            for member in shape.members.values():
                held = self.shapes.get(member.struct)
                if held is not None and held.name not in done and held.home == home:
                    yield from visit(held)
            yield shape

        for shape in self.shapes.values():
            if shape.home == home and shape.name not in done:
                yield from visit(shape)

    def _lay(
        self,
        name: str,
        home: str,
        below: str,
        fields: tuple[Node, ...],
        objects: Objects,
        parents: tuple[str, ...],
    ) -> StructShape:
        shape = self.shapes.setdefault(name, StructShape(name=name, home=home, base=self._base))
        for node in fields:
            if self._place == "body" and node.read_only:
                continue
            held = shape.members[node.name].struct if node.name in shape.members else ""
            member = self._member(node, below, objects, parents, held)
            known = shape.members.setdefault(node.name, member)
            if known is not member:
                known.join(member)
        return shape

    def _member(
        self, node: Node, home: str, objects: Objects, parents: tuple[str, ...], held: str
    ) -> Member:
        """A field by one description; ``held`` names the object that others say it holds."""
        kind = kind_of(node, self._place)
        inner = node.items if kind == "list" and node.items else node
        member = Member(
            name=node.name,
            kind=kind,
            element=element_of(node, self._place) if kind == "list" else None,
            allowed=node.allowed if kind == "text" else inner.allowed if kind == "list" else (),
            max_length=node.max_length,
            max_items=node.max_items,
            regions=node.regions,
            percent=kind == "decimal" and takes_percent(node),
        )
        fields = objects.get(inner.object, ())
        if fields and held:
            known = self.shapes[held]
            line = (held,) if known.home != home else (*parents, held)
            member.struct = self._lay(held, known.home, known.home, fields, objects, line).name
        elif fields and len(parents) < 8:
            member.struct = self._below(node.name, kind == "list", fields, home, objects, parents)
        return member

    def _below(
        self,
        holder: str,
        many: bool,
        fields: tuple[Node, ...],
        home: str,
        objects: Objects,
        parents: tuple[str, ...],
    ) -> str:
        """Lay an object that another one holds; returns its name."""
        shared = self.shared(holder, fields, home)
        if shared:
            name, where = shared
            return self._lay(name, where, where, fields, objects, (name,)).name
        noun = words.singular(words.snake(holder)) if many else holder
        name, where = self.nested(noun, parents, fields, home)
        return self._lay(name, where, where, fields, objects, (*parents, name)).name


def alike(shape: StructShape, present: set[str]) -> bool:
    """Whether an object with these fields is the one that a struct describes."""
    smaller = min(len(shape.members), len(present))
    return len(present & shape.members.keys()) * 2 > smaller
