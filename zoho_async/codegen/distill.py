"""Distill OpenAPI files into facts. Only this step reads YAML and needs PyYAML.

The files are uneven: properties that refer to one-line schemas, examples of a type other than the
field's, undeclared organization ids, parameters named twice, operations without an id. This step
resolves all of it into the plain tree of `spec`, in the order of the file, so the same file always
gives the same facts. Circular references end as objects without fields.
"""

from __future__ import annotations

import datetime
import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, cast

import msgspec

from zoho_async.codegen import observed, pages, prose
from zoho_async.codegen.spec import CallSpec, Content, Looks, Node, Source

METHODS: Final = ("get", "post", "put", "delete", "patch")
_ARTICLES: Final = frozenset({"a", "an", "the"})


def read(reference: Path, product: str, resource: str) -> Source:
    """Distill one file of ``reference``/openapi. Raises `FileNotFoundError` if it is missing."""
    found = document(reference, product, resource)
    return distill(found, product=product, resource=resource)


def document(reference: Path, product: str, resource: str) -> dict[str, Any]:
    """One parsed file of ``reference``/openapi, or its substitute for Invoice or for reports."""
    if resource in observed.resources(reference, product):
        return observed.document(reference, product)
    if product == "invoice":
        return pages.document(
            reference, resource, lambda name: _parsed(reference, "books", name), _reader
        )
    return _parsed(reference, product, resource)


def _reader(parsed: dict[str, Any]) -> Callable[[Any], dict[str, Any]]:
    """Resolves the references and composed schemas of a document."""
    file = _File(parsed)

    def read(value: Any) -> dict[str, Any]:
        resolved, seen = file.resolve(value, ())
        return dict(file.joined(resolved, seen))

    return read


@functools.cache
def _parsed(reference: Path, product: str, resource: str) -> dict[str, Any]:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    path = reference / "openapi" / product / f"{resource}.yml"
    parsed: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), loader)
    return parsed


def resources(reference: Path, product: str) -> list[str]:
    """The names of a product's files."""
    if product == "invoice":
        return pages.resources(reference)
    files = (path.stem for path in (reference / "openapi" / product).glob("*.yml"))
    return sorted([*files, *observed.resources(reference, product)])


def distill(parsed: Mapping[str, Any], *, product: str, resource: str) -> Source:
    """The facts of one parsed OpenAPI document."""
    return _File(parsed).source(product, resource)


def operations(parsed: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every (METHOD, path, operation) of a parsed document, in its order."""
    for path, entry in parsed["paths"].items():
        for method, operation in _dict(entry).items():
            if method in METHODS:
                shared = _list(entry.get("parameters"))
                parameters = [*shared, *_list(operation.get("parameters"))]
                yield method.upper(), path, {**operation, "parameters": parameters}


class _File:
    def __init__(self, parsed: Mapping[str, Any]) -> None:
        self.document = parsed
        self.objects: dict[str, tuple[Node, ...]] = {}
        self._known: dict[tuple[Node, ...], str] = {}

    def source(self, product: str, resource: str) -> Source:
        calls = tuple(self._call(*each) for each in operations(self.document))
        return Source(product=product, resource=resource, calls=calls, objects=self.objects)

    def _call(self, method: str, path: str, operation: Mapping[str, Any]) -> CallSpec:
        name = operation.get("operationId") or _slug(operation["summary"])
        parameters: dict[str, dict[str, Node]] = {"path": {}, "query": {}, "header": {}}
        for each in operation["parameters"]:
            parameter, _ = self.resolve(each, ())
            node = self._parameter(parameter)
            parameters[parameter["in"]].setdefault(node.name, node)
        organization = parameters["query"].pop("organization_id", None)
        status, reply = self._reply(name, operation["responses"])
        return CallSpec(
            id=name,
            method=method,
            path=path,
            scope=",".join(s for each in operation["security"] for v in each.values() for s in v),
            status=status,
            batch=prose.batch_limit(str(operation.get("description", ""))),
            organization=organization is not None,
            unconfirmed=operation.get("x-unconfirmed") is True,
            evidence=operation.get("x-evidence", ""),
            confidence=operation.get("x-confidence", ""),
            ids=tuple(parameters["path"].values()),
            query=tuple(parameters["query"].values()),
            headers=tuple(parameters["header"].values()),
            body=self._contents(f"{name}.body", _dict(operation.get("requestBody"))),
            reply=reply,
        )

    def _reply(self, name: str, replies: Mapping[Any, Any]) -> tuple[int, tuple[Content, ...]]:
        status = min(int(code) for code in replies if str(code).startswith("2"))
        answer = next(value for code, value in replies.items() if int(code) == status)
        return status, self._contents(f"{name}.reply", answer)

    def _contents(self, where: str, holder: Mapping[str, Any]) -> tuple[Content, ...]:
        contents = _dict(holder.get("content"))
        return tuple(
            Content(media=media, node=self._node("", _dict(each).get("schema"), where, ()))
            for media, each in contents.items()
        )

    def _parameter(self, parameter: Mapping[str, Any]) -> Node:
        outer = {key: parameter[key] for key in ("description", "example") if key in parameter}
        schema, seen = self.resolve(parameter.get("schema", {}), ())
        name = str(parameter["name"]).strip()
        node = self._node(name, {**schema, **outer}, f"parameter.{name}", seen)
        required = parameter.get("required") is True
        regions = _words(parameter.get("x-node_available_in"))
        most = prose.most_ids(name, str(parameter.get("description", "")))
        return msgspec.structs.replace(
            node,
            required=required,
            regions=regions or node.regions,
            max_items=node.max_items or most,
        )

    def _node(self, name: str, schema: Any, where: str, seen: tuple[str, ...]) -> Node:
        schema, seen = self.resolve(schema, seen)
        schema = self.joined(schema, seen)
        text = str(schema.get("description", ""))
        properties = _dict(schema.get("properties"))
        kind = str(schema.get("type") or ("object" if properties else ""))
        items = schema.get("items")
        return Node(
            name=name,
            type=kind,
            format=str(schema.get("format", "")),
            looks=looks(schema.get("example", schema.get("default"))),
            read_only=schema.get("readOnly") is True,
            allowed=prose.widened(
                _words(schema.get("enum")) or prose.allowed_values(text), schema.get("example")
            ),
            variants=prose.variants(name, text) if name else (),
            max_length=_whole(schema.get("maxLength")) or prose.max_length(text),
            max_items=_whole(schema.get("maxItems")),
            regions=_words(schema.get("x-node_available_in")),
            object=self._object(properties, schema.get("required"), where, seen),
            items=self._node("", items, where, seen) if kind == "array" and items else None,
        )

    def _object(
        self, properties: Mapping[str, Any], required: Any, where: str, seen: tuple[str, ...]
    ) -> str:
        """The name in `objects` of an object with these properties; "" if it has none."""
        if not properties:
            return ""
        needed = frozenset(_words(required))
        nodes: list[Node] = []
        for name, schema in properties.items():
            node = self._node(str(name).strip(), schema, f"{where}.{str(name).strip()}", seen)
            nodes.append(msgspec.structs.replace(node, required=node.name in needed))
        fields = tuple(nodes)
        if fields not in self._known:
            rivals = sum(name.partition("#")[0] == where for name in self.objects)
            self._known[fields] = f"{where}#{rivals + 1}" if rivals else where
            self.objects[self._known[fields]] = fields
        return self._known[fields]

    def joined(self, schema: Mapping[str, Any], seen: tuple[str, ...]) -> Mapping[str, Any]:
        """Merge a schema with the properties of its alternatives (allOf, oneOf, anyOf)."""
        parts = [part for key in ("allOf", "oneOf", "anyOf") for part in _list(schema.get(key))]
        if not parts:
            return schema
        joined = dict(schema)
        properties = {**_dict(schema.get("properties"))}
        for part in parts:
            resolved, deeper = self.resolve(part, seen)
            other = self.joined(resolved, deeper)
            for name, value in _dict(other.get("properties")).items():
                properties.setdefault(name, value)
            for key in ("type", "items", "format", "example"):
                if key in other:
                    joined.setdefault(key, other[key])
        return {**joined, "properties": properties}

    def resolve(self, value: Any, seen: tuple[str, ...]) -> tuple[dict[str, Any], tuple[str, ...]]:
        """Resolve a reference; circular and unknown references give an empty schema."""
        while "$ref" in _dict(value):
            target = str(value["$ref"])
            if target in seen:
                return {}, seen
            seen = (*seen, target)
            _, _, section, name = target.split("/")
            value = _dict(self.document["components"].get(section)).get(name)
        return _dict(value), seen


def looks(example: Any) -> Looks:
    """The form of an example."""
    if isinstance(example, datetime.datetime) and example.time() == datetime.time():
        return "date"  # a date without quotes in the file
    forms: tuple[tuple[type, Looks], ...] = (
        (bool, "boolean"),
        (float, "decimal"),
        (datetime.datetime, "time"),
        (datetime.date, "date"),
        (list, "list"),
        (dict, "object"),
    )
    for kind, form in forms:
        if isinstance(example, kind):
            return form
    if example is None:
        return ""
    text = str(example).strip()
    patterns: tuple[tuple[str, Looks], ...] = (
        (r"", "blank"),
        (r"-?\d{10,}", "digits"),
        (r"-?\d+", "integer"),
        (r"-?\d[\d,]*\.\d+", "decimal"),
        (r"-?\d+(\.\d+)?\s*%", "percent"),
        (r"\d{4}-\d{1,2}-\d{1,2}(T00:00:00(\.0+)?Z)?", "date"),
        (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?.*", "time"),
        (r"\d{1,3}:\d\d", "clock"),
        (r"(?i:true|false)", "truth"),
    )
    for pattern, form in patterns:
        if re.fullmatch(pattern, text):
            return form
    return "text"


def _words(value: Any) -> tuple[str, ...]:
    """The entries of a list as text, without repetitions; empty if it is not a list."""
    words = [
        str(each).lower() if each is True or each is False else str(each).strip()
        for each in _list(value)
    ]
    return tuple(dict.fromkeys(word for word in words if word))


def _dict(value: Any) -> dict[str, Any]:
    """An object of the document; empty if the value has another type."""
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    """An array of the document; empty if the value has another type."""
    return [*cast(Iterable[Any], value)] if isinstance(value, list) else []


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) else None


def _slug(summary: str) -> str:
    """An operation's name from its title, for files without operationIds."""
    words = re.findall(r"[a-z0-9]+", summary.lower().replace("'s", ""))
    return "_".join(word for word in words if word not in _ARTICLES)
