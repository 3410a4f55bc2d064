"""The retired XML API as a product among the others; its organization is the authtoken's."""

from __future__ import annotations

from typing import Final

from zoho_async.operation import Product

LEGACY: Final = Product(name="legacy", base_path="/api")
