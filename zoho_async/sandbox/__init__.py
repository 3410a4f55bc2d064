"""A local Zoho server for development and tests.

async with Sandbox(sizes={"books.invoices": 400}) as zoho:
    ...  # point any client at zoho.url, with zoho.environment()
"""

from zoho_async.sandbox.deliveries.settings import WebhookDelivery, WebhookRules
from zoho_async.sandbox.middleware import Arrival
from zoho_async.sandbox.oauth.server import TokenRules
from zoho_async.sandbox.server import Sandbox
from zoho_async.sandbox.simulation.activity import ActivityRules
from zoho_async.sandbox.simulation.clock import SandboxClock
from zoho_async.sandbox.simulation.fault_effects import ODD_VALUES
from zoho_async.sandbox.simulation.faults import FAULTS, Fault, FaultKind, read_rules
from zoho_async.sandbox.simulation.latency import Lag, Latency, LongTail, parse_lag
from zoho_async.sandbox.simulation.proxy import Proxy
from zoho_async.sandbox.simulation.rate_limits import LimitRules, Window
from zoho_async.sandbox.threaded import serve_in_thread

__all__ = [
    "FAULTS",
    "ODD_VALUES",
    "ActivityRules",
    "Arrival",
    "Fault",
    "FaultKind",
    "Lag",
    "Latency",
    "LimitRules",
    "LongTail",
    "Proxy",
    "Sandbox",
    "SandboxClock",
    "TokenRules",
    "WebhookDelivery",
    "WebhookRules",
    "Window",
    "parse_lag",
    "read_rules",
    "serve_in_thread",
]
