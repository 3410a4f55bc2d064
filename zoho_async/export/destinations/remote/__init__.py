"""Exports into object stores: Amazon S3, Google Cloud Storage, Azure Blob Storage."""

from zoho_async.export.destinations.remote.destination import Remote

__all__ = ["Remote"]
