"""A local Zoho: a real server on loopback for trying things out, and the judge in tests.

async with Sandbox(sizes={"books.invoices": 400}) as zoho:
    ...  # point any client at zoho.url, with zoho.environment()
"""

from zoho_async.sandbox.accounts import TokenRules
from zoho_async.sandbox.faults import Fault, FaultKind
from zoho_async.sandbox.limits import LimitRules, Window
from zoho_async.sandbox.server import Arrival, Lag, Sandbox

__all__ = [
    "Arrival",
    "Fault",
    "FaultKind",
    "Lag",
    "LimitRules",
    "Sandbox",
    "TokenRules",
    "Window",
]
