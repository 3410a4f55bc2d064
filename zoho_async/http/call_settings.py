"""The settings that the calls of one view share: products, organization and options.

They turn an operation or a path, with its arguments, into a `Call`. What cannot be sent raises
here, before any slot is taken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from zoho_async.errors import ConfigurationError, Request
from zoho_async.http.call import JSON, Call, Options, path_of
from zoho_async.http.target import checked_headers, checked_path, checked_query
from zoho_async.http.transport import Body
from zoho_async.operation import ListOperation, Operation, Product
from zoho_async.wire import query as query_of

_METHODS: Final = frozenset({"GET", "POST", "PUT", "DELETE"})


class CallSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The products by name, the organization that calls name, and their options.

    ``caller`` of each method is whom the call is made for: callers take turns at the limits.
    """

    products: Mapping[str, Product]
    organization: str | None
    options: Options = Options()

    def for_operation(
        self,
        operation: Operation[Any],
        caller: object,
        *,
        ids: Sequence[str | int] = (),
        query: Mapping[str, object] | None = None,
        headers: Mapping[str, object] | None = None,
        body: Body = None,
        content_type: str = JSON,
    ) -> Call:
        """The call of an operation that returns one value or document."""
        product = self._product(operation)
        path = path_of(operation.path, ids)
        return Call(
            request=self._request(operation.method, path, per_user=operation.per_user),
            product=product,
            options=self.options,
            caller=caller,
            query=_query(product, query),
            headers=self._headers(headers),
            body=body,
            content_type=content_type,
            scope=operation.scope,
            codes=operation.codes,
            accept=operation.accept,
            repeatable=operation.repeatable,
            per_user=operation.per_user,
        )

    def for_page(
        self,
        operation: ListOperation[Any],
        caller: object,
        *,
        ids: Sequence[str | int],
        query: Mapping[str, object] | None,
    ) -> Call:
        """The call for one page of a list."""
        product = self._product(operation)
        path = path_of(operation.path, ids)
        return Call(
            request=self._request("GET", path, per_user=operation.per_user),
            product=product,
            options=self.options,
            caller=caller,
            query=_query(product, query),
            scope=operation.scope,
            codes=operation.codes,
            per_user=operation.per_user,
        )

    def for_path(
        self,
        method: str,
        path: str,
        caller: object,
        *,
        product: str,
        query: Mapping[str, object] | None,
        headers: Mapping[str, object] | None,
        body: Body,
    ) -> Call:
        """The call of any path of a product. Raises `ConfigurationError` if it is not valid."""
        verb = method.upper()
        if verb not in _METHODS:
            raise ConfigurationError(
                f"unknown method {method!r}; choose one of {', '.join(sorted(_METHODS))}"
            )
        checked_path(path)
        if product not in self.products:
            raise ConfigurationError(
                f"unknown product {product!r}; choose one of {', '.join(self.products)}"
            )
        called = self.products[product]
        return Call(
            request=self._request(verb, path),
            product=called,
            options=self.options,
            caller=caller,
            query=_query(called, query),
            headers=self._headers(headers),
            body=body,
        )

    def _product(self, operation: Operation[Any] | ListOperation[Any]) -> Product:
        return self.products.get(operation.product.name, operation.product)

    def _request(self, method: str, path: str, *, per_user: bool = False) -> Request:
        return Request(method, path, None if per_user else self.organization)

    def _headers(self, headers: Mapping[str, object] | None) -> Mapping[str, str]:
        """Headers as they are sent. Raises `ConfigurationError` for invalid ones."""
        if not headers:
            return {}
        named = [product.organization_header for product in self.products.values()]
        return checked_headers(query_of(headers), named)


def _query(product: Product, query: Mapping[str, object] | None) -> Mapping[str, str]:
    """A query as it is sent. Raises `ConfigurationError` if it names an organization."""
    return checked_query(query_of(query), product.organization_query) if query else {}
