"""An asyncio client for Zoho's finance APIs."""

__version__ = "0.1.0"
