"""Zoho's own description, parsed for the proof only.

No code is shared with the generator, so a misreading of the generator is not repeated here. PyYAML
reads YAML 1.1, which turns dates into times, ``yes`` into true and ``12:06`` into 726. The files
are YAML 1.2 and are read as such. Numbers stay exact.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec
import yaml

Json: TypeAlias = Any  # scalars as in JSON
Schema: TypeAlias = Mapping[str, Any]

REFERENCE: Final = Path(__file__).parents[3] / "shared" / "reference"
OPENAPI: Final = REFERENCE / "openapi"

_METHODS: Final = ("get", "post", "put", "delete")
_NAMES: Final = re.compile(r"\{[^}]*\}|\(\\d\+\)")  # {name}, and three times a bare (\d+)
_DEEPEST: Final = 12
_NO_SCHEMA: Final[Schema] = {}


class _Loader(yaml.CSafeLoader):
    """A loader with the scalars of YAML 1.2."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}


def _decimal(loader: _Loader, node: yaml.ScalarNode) -> Decimal:
    return Decimal(str(loader.construct_scalar(node)))


def _integer(loader: _Loader, node: yaml.ScalarNode) -> int:
    return int(str(loader.construct_scalar(node)))


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"(true|True|TRUE|false|False|FALSE)$"), [*"tTfF"]
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:null", re.compile(r"(~|null|Null|NULL|)$"), ["~", "n", "N", ""]
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"[-+]?[0-9]+$"), [*"-+0123456789"]
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*)([eE][-+]?[0-9]+)?$"),
    [*"-+.0123456789"],
)
_Loader.add_constructor("tag:yaml.org,2002:float", _decimal)
_Loader.add_constructor("tag:yaml.org,2002:int", _integer)


class Document:
    """One file, whose schemas refer to each other."""

    def __init__(self, content: Mapping[str, Any]) -> None:
        self.content: Final = content

    def follow(self, schema: Any) -> Schema:
        """Resolve ``schema``: follow references, merge ``allOf`` and ``oneOf``."""
        if not isinstance(schema, Mapping):
            return _NO_SCHEMA
        if "$ref" in schema:
            target: Any = self.content
            for part in str(schema["$ref"]).removeprefix("#/").split("/"):
                target = target[part.replace("~1", "/").replace("~0", "~")]
            beside = {key: value for key, value in schema.items() if key != "$ref"}
            return {**self.follow(target), **beside}
        parts = [self.follow(part) for how in ("allOf", "oneOf") for part in schema.get(how, ())]
        if not parts:
            return schema
        properties: dict[str, Any] = {}
        for each in (*parts, schema):
            properties |= each.get("properties") or {}
        return {"type": "object", **schema, "properties": properties, "required": ()}


class Parameter(msgspec.Struct, frozen=True, kw_only=True):
    """A described parameter; ``place`` is query, path or header."""

    name: str
    place: str
    schema: Schema
    example: Json
    text: str
    required: bool


class Described(msgspec.Struct, frozen=True, kw_only=True):
    """One operation of one file."""

    product: str
    file: str
    #: The names that corrections use: the operation's, and on a page also that of Books.
    names: tuple[str, ...]
    method: str
    path: str
    scopes: frozenset[str]
    text: str
    parameters: tuple[Parameter, ...]
    body: Schema | None
    form: Schema | None
    status: int
    answers: Mapping[str, Schema]
    document: Document
    #: The examples of a page, which has no schema.
    body_example: Json = msgspec.UNSET
    reply_example: Json = msgspec.UNSET
    #: Whether the page described the same call earlier.
    is_repeated: bool = False

    @property
    def call(self) -> tuple[str, str]:
        """The key that matches an operation to a function: method and path without names."""
        return self.method, nameless(self.path)

    @property
    def where(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def is_page(self) -> bool:
        """Whether a documentation page describes it, by examples and a list of names."""
        return self.reply_example is not msgspec.UNSET

    def prose(self) -> dict[str, str]:
        """The description of each parameter and body property, by name."""
        said = {each.name: each.text for each in self.parameters}
        if self.body is not None:
            self._said(self.body, said, 0)
        return said

    def _said(self, schema: Schema, said: dict[str, str], depth: int) -> None:
        whole = self.document.follow(schema)
        if depth < _DEEPEST:
            for name, each in (whole.get("properties") or {}).items():
                text = str(self.document.follow(each).get("description", ""))
                said[str(name)] = f"{said.get(str(name), '')} {text}"
                self._said(each, said, depth + 1)
            if "items" in whole:
                self._said(whole["items"], said, depth + 1)

    def placed(self, place: str) -> dict[str, Parameter]:
        return {each.name: each for each in self.parameters if each.place == place}


def nameless(path: str) -> str:
    return _NAMES.sub("{}", path)


def files() -> list[tuple[str, str]]:
    """Product and stem of every file."""
    return sorted((path.parent.name, path.stem) for path in OPENAPI.glob("*/*.yml"))


@functools.cache
def operations(product: str, stem: str) -> tuple[Described, ...]:
    """The operations of one file, in its order."""
    text = (OPENAPI / product / f"{stem}.yml").read_bytes()
    document = Document(yaml.load(text, Loader=_Loader))
    return tuple(_operations(product, stem, document))


def _operations(product: str, stem: str, document: Document) -> Iterator[Described]:
    for path, item in document.content["paths"].items():
        for method in _METHODS:
            if method in item:
                yield _operation(product, stem, document, path, item, method)


def _operation(
    product: str, stem: str, document: Document, path: str, item: Schema, method: str
) -> Described:
    found = item[method]
    described = [*(item.get("parameters") or ()), *(found.get("parameters") or ())]
    parameters = tuple(_parameter(document, each) for each in described)
    body = (found.get("requestBody") or {}).get("content") or {}
    ((status, answer),) = found["responses"].items()
    content = answer.get("content") or {}
    return Described(
        product=product,
        file=stem,
        names=(found.get("operationId") or slug(found["summary"]),),
        method=method.upper(),
        path=path,
        scopes=frozenset(
            scope for each in found["security"] for scopes in each.values() for scope in scopes
        ),
        text=" ".join([found["summary"], found["description"], *(p.text for p in parameters)]),
        parameters=_first_of_each(parameters),
        body=_schema(body, "application/json"),
        form=_schema(body, "multipart/form-data"),
        status=int(status),
        answers={kind: each.get("schema") or {} for kind, each in content.items()},
        document=document,
    )


def _schema(content: Schema, media: str) -> Schema | None:
    return content[media].get("schema") if media in content else None


def _parameter(document: Document, described: Schema) -> Parameter:
    whole = document.follow(described)
    schema = document.follow(whole.get("schema"))
    return Parameter(
        name=str(whole["name"]),
        place=str(whole["in"]),
        schema=schema,
        example=whole.get("example", schema.get("example")),
        text=f"{whole['name']} {whole.get('description', '')}",
        required=bool(whole.get("required")),
    )


def _first_of_each(parameters: tuple[Parameter, ...]) -> tuple[Parameter, ...]:
    return tuple({(each.place, each.name): each for each in reversed(parameters)}.values())[::-1]


def slug(summary: str) -> str:
    """The name of an operation that has only a title."""
    return "_".join(re.findall(r"[a-z0-9]+", summary.lower()))
