"""The settings of the webhooks that the sandbox sends, and the log of what became of each."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from zoho_async.errors import ConfigurationError
from zoho_async.sandbox.simulation.latency import Lag

#: ``skipped``: the day's limit is used up, the host is not allowed, or the webhook was lost.
DeliveryStatus: TypeAlias = Literal["waiting", "success", "failure", "skipped"]


class WebhookRules(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """How the sandbox sends webhooks. Seconds are those of the sandbox's clock.

    Attributes:
        hosts: host names that webhooks may be sent to in addition to loopback. All others are
            skipped.
        per_day: webhooks per day and organization (documented: 1,000). What Zoho does with the rest
            is unknown; here it is skipped.
        retries: seconds to wait before each further try. Zoho documents growing intervals and no
            numbers.
        timeout: real seconds until a request fails. Documented only for Zoho Payments: 15.
        in_flight: concurrent requests, as at the start of the sandbox. Unknown.
        delay: seconds between a change and its webhook. Unknown.
        most_waiting: webhooks that wait or are being sent; further ones are skipped.
        duplicates: chance that a webhook is sent a second time.
        reordered: chance that a webhook is sent up to ``spread`` seconds later.
        lost: chance that a webhook is never sent.
        spread: see ``reordered``; also the most time until a duplicate is sent.
    """

    hosts: tuple[str, ...] = ()
    per_day: int = 1000
    retries: tuple[float, ...] = (60.0, 300.0, 1800.0, 7200.0, 21_600.0)
    timeout: float = 15.0
    in_flight: int = 8
    delay: Lag = 0.0
    most_waiting: int = 10_000
    duplicates: float = 0.0
    reordered: float = 0.0
    lost: float = 0.0
    spread: float = 5.0

    def __post_init__(self) -> None:
        for name in ("duplicates", "reordered", "lost"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigurationError(
                    f"{name} must be a chance from 0 to 1, got {getattr(self, name)}"
                )
        if self.timeout <= 0 or self.in_flight < 1:
            raise ConfigurationError("timeout must be above 0, and in_flight at least 1")


class WebhookDelivery(msgspec.Struct, kw_only=True):
    """One webhook and what became of it.

    Attributes:
        time: the sandbox's clock at the change, in seconds.
        rule: the id of the workflow rule, or of Billing's event.
        event: ``created``, ``updated`` or ``deleted``, or the type of Billing's event.
        url: the address without its query.
        tries: the number of requests.
        answer: the HTTP status of the last answer; 0 if there was none.
        problem: why the last try failed, or why the webhook was skipped.
    """

    time: float
    organization: str
    webhook_id: str
    rule: str
    module: str
    record_id: str
    event: str
    url: str
    is_duplicate: bool = False
    status: DeliveryStatus = "waiting"
    tries: int = 0
    answer: int = 0
    problem: str = ""
