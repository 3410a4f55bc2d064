"""The functions of a product, and the place in the request of each parameter.

Neither is read from source text. A function is called with a marker per parameter and a session
that looks for the markers in the path, the query, the headers, the body and the files.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from types import ModuleType
from typing import Any, Final, NoReturn, TypeAlias
from unittest import mock

import msgspec

from tests.conformance.official import nameless
from zoho_async import description
from zoho_async.operation import PRODUCTS, ListOperation, Operation

AnyOperation: TypeAlias = Operation[Any] | ListOperation[Any]


class Place(msgspec.Struct, frozen=True):
    """The place of a parameter: ``where`` is path, query, header, body, form or file.

    ``name`` is Zoho's name for it, the number of a path id, or "" for a whole body.
    """

    where: str
    name: str


class Function(msgspec.Struct, frozen=True, kw_only=True):
    """A function with its operation and the places of its parameters.

    ``fixed`` are the query parameters and headers that it always sends.
    """

    name: str
    call: Callable[..., Any]
    operation: AnyOperation
    places: Mapping[str, Place]
    types: Mapping[str, Any]
    fixed: Mapping[str, str]
    unbound: tuple[str, ...]

    @property
    def method(self) -> str:
        return "GET" if isinstance(self.operation, ListOperation) else self.operation.method

    @property
    def key(self) -> tuple[str, str]:
        return self.method, nameless(self.operation.path)

    @property
    def struct(self) -> str:
        """The name of its result type."""
        kind: Any = (
            self.operation.row
            if isinstance(self.operation, ListOperation)
            else self.operation.result
        )
        return str(getattr(kind, "__name__", kind))

    @property
    def module(self) -> str:
        return self.name.rpartition(".")[0]


@functools.cache
def functions(product: str) -> tuple[Function, ...]:
    """Every function of a product for an operation that Zoho describes."""
    ours = _observed_names(product)
    return tuple(each for each in _every(product) if each.operation.name not in ours)


@functools.cache
def observed(product: str) -> tuple[Function, ...]:
    """Every function of a product for an operation that is in no OpenAPI file."""
    ours = _observed_names(product)
    return tuple(each for each in _every(product) if each.operation.name in ours)


def _observed_names(product: str) -> frozenset[str]:
    return frozenset(each.name for each in description.operations(product) if each.evidence)


@functools.cache
def _every(product: str) -> tuple[Function, ...]:
    return tuple(
        each
        for name in modules(product)
        if name not in broken(product)
        if not name.endswith(
            ".reports"
        )  # they check their arguments: see tests/wire/test_reports.py
        for each in _functions(product, importlib.import_module(name))
    )


@functools.cache
def broken(product: str) -> Mapping[str, str]:
    """The modules of a product that cannot be imported, with the reason."""
    problems: dict[str, str] = {}
    for name in modules(product):
        try:
            importlib.import_module(name)
        except Exception as error:
            problems[name] = f"{type(error).__name__}: {error}"
    return problems


@functools.cache
def by_call(product: str) -> Mapping[tuple[str, str], tuple[Function, ...]]:
    """The functions by method and path without names."""
    found: dict[tuple[str, str], tuple[Function, ...]] = {}
    for each in functions(product):
        found[each.key] = (*found.get(each.key, ()), each)
    return found


def modules(product: str) -> list[str]:
    """The modules of a product's package, which may not exist."""
    try:
        package = importlib.import_module(f"zoho_async.{product}")
    except ModuleNotFoundError:
        return []
    return [
        f"zoho_async.{product}.{info.name}"
        for info in pkgutil.iter_modules(package.__path__)
        if not info.ispkg and not info.name.startswith("_")
    ]


def _functions(product: str, module: ModuleType) -> Iterator[Function]:
    for name, member in vars(module).items():
        if inspect.isfunction(member) and member.__module__ == module.__name__:
            parameters = list(inspect.signature(member).parameters)
            if parameters[:1] == ["zoho"] and not name.startswith("_"):
                short = module.__name__.removeprefix("zoho_async.")
                yield bound(f"{short}.{name}", member, parameters[1:])


class _Mark:
    def __init__(self, name: str) -> None:
        self.name: Final = name


class _Sent(BaseException):
    """The request that a function made; raising it ends the function."""

    def __init__(self, positional: tuple[Any, ...], named: dict[str, Any]) -> None:
        self.positional: Final = positional
        self.named: Final = named


class _Watch:
    """A session that never sends."""

    organization = "1"
    decoder: Any = None

    def __getattr__(self, name: str) -> Callable[..., NoReturn]:
        def ask(*positional: Any, **named: Any) -> NoReturn:
            raise _Sent(positional, named)

        return ask


def bound(name: str, function: Callable[..., Any], parameters: list[str]) -> Function:
    """``function`` with the places of its parameters."""
    own = [each for each in parameters if not each.startswith("extra_")]
    marks = {each: _Mark(each) for each in own}
    sent = _ask(function, marks)
    operation = sent.positional[0]
    if not isinstance(operation, (Operation, ListOperation)):
        raise TypeError(f"{name} asks for {operation!r}, which is no operation")
    places: dict[str, Place] = {}
    fixed: dict[str, str] = {}
    for where, argument in (("path", "ids"), ("query", "query"), ("header", "headers"),
                            ("body", "body"), ("form", "fields"), ("file", "files")):  # fmt: skip
        _find(where, sent.named.get(argument), places, fixed)
    hints = typing.get_type_hints(function, include_extras=True)
    return Function(
        name=name,
        call=function,
        operation=operation,
        places=places,
        types={each: hints[each] for each in own},
        fixed=fixed,
        unbound=tuple(each for each in own if each not in places),
    )


def any_filters() -> AbstractContextManager[object]:
    """Let a list be called with all filters at once, also with those that cancel each other."""
    return mock.patch("zoho_async.paging.pager.refuse_cancelled", _accept)


def _accept(*_: object) -> None:
    """Refuse nothing."""


def _ask(function: Callable[..., Any], marks: Mapping[str, _Mark]) -> _Sent:
    try:
        with any_filters():
            asked: Any = function(_Watch(), **marks)
        if hasattr(asked, "__anext__"):
            asked = asked.__anext__()
        asked.__await__().send(None)
    except _Sent as sent:
        return sent
    raise TypeError(f"{function.__qualname__} asked its session for nothing")


def _find(where: str, value: Any, places: dict[str, Place], fixed: dict[str, str]) -> None:
    if isinstance(value, _Mark):
        places[value.name] = Place(where, "")
    elif isinstance(value, Mapping):
        for name, each in value.items():
            if isinstance(each, _Mark):
                places[each.name] = Place(where, str(name))
            elif each is not None and where in ("query", "header"):
                fixed[str(name)] = str(each).lower() if isinstance(each, bool) else str(each)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for number, each in enumerate(value):
            if isinstance(each, _Mark):
                places[each.name] = Place(where, str(number))


def products() -> list[str]:
    return list(PRODUCTS)
