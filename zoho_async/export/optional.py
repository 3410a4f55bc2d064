"""Import libraries that only some destinations need."""

from __future__ import annotations

import importlib
from typing import Any

from zoho_async.errors import ConfigurationError
from zoho_async.export.errors import ExportError


class MissingExtra(ExportError, ConfigurationError):
    """A destination needs a library that is not installed."""


def library(module: str, extra: str, purpose: str) -> Any:
    """Import ``module``. Raises `MissingExtra`, which says how to install it."""
    try:
        return importlib.import_module(module)
    except ImportError as problem:
        raise MissingExtra(
            f"{purpose} needs {module.partition('.')[0]}, which cannot be imported ({problem}); "
            f"install it with: pip install 'zoho-async[{extra}]'"
        ) from problem
