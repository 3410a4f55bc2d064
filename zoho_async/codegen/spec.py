"""The distilled description: the facts of one OpenAPI file, without its sentences.

A file becomes a `Source`: its calls, and a table of the objects in requests and replies. Objects
with the same fields are stored once, even if five replies repeat a record. This step interprets
nothing: types are the file's words, and an example is reduced to its form (`Node.looks`). `kinds`
and the overrides decide on the real types later.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, cast

import msgspec

from zoho_async.description import Confidence

#: The form of an example. ``digits`` is a whole number of ten digits or more (an id), ``truth`` is
#: true or false as text, ``clock`` is HH:mm, ``percent`` a number with a percent sign, ``blank``
#: only spaces.
Looks: TypeAlias = Literal[
    "",
    "blank",
    "boolean",
    "clock",
    "date",
    "decimal",
    "digits",
    "integer",
    "list",
    "object",
    "percent",
    "text",
    "time",
    "truth",
]


class Node(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A field, a parameter or an array's element, as described.

    ``object`` names an entry of `Source.objects`. ``regions`` are the editions that have the field;
    none means all of them. ``variants`` are suffixed parameters that the text names. ``max_items``
    is the maximum number of values; for an id parameter, the one in its text.
    """

    name: str = ""
    type: str = ""
    format: str = ""
    looks: Looks = ""
    required: bool = False
    read_only: bool = False
    allowed: tuple[str, ...] = ()
    variants: tuple[str, ...] = ()
    max_length: int | None = None
    max_items: int | None = None
    regions: tuple[str, ...] = ()
    object: str = ""
    items: Node | None = None


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """A request body or a reply in one media type."""

    media: str
    node: Node


class CallSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One operation.

    ``batch`` is the maximum number of ids per call that the text states. ``organization`` says that
    the call declares the organization parameter. ``unconfirmed`` marks calls that no document of
    the product names. An observed call (see `observed`) has ``evidence`` and ``confidence``.
    """

    id: str
    method: str
    path: str
    scope: str = ""
    status: int = 200
    batch: int | None = None
    organization: bool = False
    unconfirmed: bool = False
    evidence: str = ""
    confidence: Confidence = ""
    ids: tuple[Node, ...] = ()
    query: tuple[Node, ...] = ()
    headers: tuple[Node, ...] = ()
    body: tuple[Content, ...] = ()
    reply: tuple[Content, ...] = ()


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """One file of the description. ``objects`` holds the fields of every object in it."""

    product: str
    resource: str
    calls: tuple[CallSpec, ...]
    objects: dict[str, tuple[Node, ...]]

    @property
    def is_observed(self) -> bool:
        """Whether none of its calls is in an OpenAPI file."""
        return all(call.evidence for call in self.calls)


SPEC: Final = Path(__file__).parent / "spec"
_WIDTH: Final = 100


def load(product: str, folder: Path = SPEC) -> list[Source]:
    """The distilled files of a product, by name of resource."""
    files = sorted((folder / product).glob("*.json"))
    return [msgspec.json.decode(file.read_bytes(), type=Source) for file in files]


def dump(source: Source) -> str:
    """A source as JSON with one fact per line, so that diffs of the description are readable."""
    return _lines(msgspec.to_builtins(source), "") + "\n"


def _lines(value: Any, indent: str) -> str:
    flat = json.dumps(value, ensure_ascii=False)
    if len(flat) + len(indent) < _WIDTH or not isinstance(value, dict | list | tuple):
        return flat
    deeper = indent + " "
    if isinstance(value, dict):
        items = cast(dict[str, Any], value).items()
        rows = [f"{deeper}{json.dumps(key)}: {_lines(item, deeper)}" for key, item in items]
        return "{\n" + ",\n".join(rows) + "\n" + indent + "}"
    rows = [deeper + _lines(item, deeper) for item in cast(Sequence[Any], value)]
    return "[\n" + ",\n".join(rows) + "\n" + indent + "]"
