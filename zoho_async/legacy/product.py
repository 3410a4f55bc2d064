"""The retired XML API as a product. The authtoken determines the organization."""

from __future__ import annotations

from typing import Final

from zoho_async.operation import Product

LEGACY: Final = Product(name="legacy", base_path="/api")
