"""A local Zoho: a real server on loopback for trying things out, and the judge in tests.

async with Sandbox(sizes={"books.invoices": 400}) as zoho:
    ...  # point any client at zoho.url, with zoho.environment()
"""

from zoho_async.sandbox.accounts import TokenRules
from zoho_async.sandbox.clock import Clock
from zoho_async.sandbox.faults import FAULTS, Fault, FaultKind, read_rules
from zoho_async.sandbox.latency import Lag, Latency, LongTail, parse_lag
from zoho_async.sandbox.limits import LimitRules, Window
from zoho_async.sandbox.proxy import Proxy
from zoho_async.sandbox.requests import Arrival
from zoho_async.sandbox.server import Sandbox
from zoho_async.sandbox.spoiling import ODD_VALUES

__all__ = [
    "FAULTS",
    "ODD_VALUES",
    "Arrival",
    "Clock",
    "Fault",
    "FaultKind",
    "Lag",
    "Latency",
    "LimitRules",
    "LongTail",
    "Proxy",
    "Sandbox",
    "TokenRules",
    "Window",
    "parse_lag",
    "read_rules",
]
