"""Calls that are bound to a session: ``zoho.books.invoices.get("1")``.

A resource class has one line per endpoint function, ``get = bound(get)``, and no second signature:
types, parameter names and the docstring are the function's.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MethodType
from typing import TYPE_CHECKING, Concatenate, Final, Generic, ParamSpec, TypeVar, overload

if TYPE_CHECKING:
    from zoho_async.session import Session

__all__ = ["Resource", "bound"]

P = ParamSpec("P")
R = TypeVar("R")


class Resource:
    """The calls of one resource, or the resources of one product, for one session."""

    def __init__(self, session: Session) -> None:
        self._session: Final = session

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._session!r}>"


class bound(Generic[P, R]):
    """An endpoint function as a method, which passes the resource's session first.

    On the class it is the function itself, so that documentation shows the signature. It can be
    replaced on an instance, so that a test can patch one session's call.
    """

    def __init__(self, function: Callable[Concatenate[Session, P], R]) -> None:
        self._function: Final = function

    @overload
    def __get__(
        self, instance: None, owner: type[Resource]
    ) -> Callable[Concatenate[Session, P], R]: ...

    @overload
    def __get__(self, instance: Resource, owner: type[Resource]) -> Callable[P, R]: ...

    def __get__(
        self, instance: Resource | None, owner: type[Resource]
    ) -> Callable[Concatenate[Session, P], R] | Callable[P, R]:
        if instance is None:
            return self._function
        return MethodType(self._function, instance._session)
