"""schemathesis against the official descriptions: the sandbox fails at no request.

Requests are made up from the description; each is answered with success or with a refusal of
Zoho's, in Zoho's envelope. The descriptions lie outside the repository; where they are not, this
is skipped.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, seed, settings

OFFICIAL: Final = Path(__file__).parents[3] / "shared" / "reference" / "openapi"
BASES: Final = {"books": "/books/v3", "inventory": "/inventory/v1", "billing": "/billing/v1"}
#: The reply of the sandbox to operations that it does not play.
UNPLAYED: Final = 501
EXAMPLES: Final = 2
#: Only each n-th operation is tried, to save time. 1 tries all, in five minutes.
EVERY: Final = {"books": 8, "inventory": 6, "billing": 3}


@contextmanager
def serving() -> Iterator[dict[str, str]]:
    """A sandbox in another process, with limits too high to matter."""
    options = ("--per-minute", "1000000", "--per-day", "1000000", "--in-flight", "1000")
    command = (sys.executable, "-m", "zoho_async.sandbox", *options, "--size", "invoices=20")
    with subprocess.Popen(
        [*command, "--size", "contacts=20", "--size", "items=20", "--size", "projects=5"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())["environment"]
        finally:
            process.terminate()


def token(environment: dict[str, str]) -> str:
    form = urlencode(
        {
            "grant_type": "refresh_token",
            "client_id": environment["ZOHO_CLIENT_ID"],
            "client_secret": environment["ZOHO_CLIENT_SECRET"],
            "refresh_token": environment["ZOHO_REFRESH_TOKEN"],
        }
    )
    with urlopen(f"{environment['ZOHO_ACCOUNTS_URL']}/oauth/v2/token", form.encode()) as reply:
        return str(json.loads(reply.read())["access_token"])


def known_ids(environment: dict[str, str]) -> dict[str, str]:
    """One id of each kind, by its name in paths."""
    found = {}
    for single in ("contact", "invoice", "item", "project"):
        url = f"{environment['ZOHO_BASE_URL']}/__sandbox__/truth/{single}s"
        with urlopen(url) as reply:
            found[f"{single}_id"] = str(json.loads(reply.readline())[f"{single}_id"])
    return found


class Run:
    """The calls of one product's descriptions, and their outcomes."""

    def __init__(self, environment: dict[str, str], product: str) -> None:
        self.base = f"{environment['ZOHO_BASE_URL']}{BASES[product]}"
        self.headers = {
            "Authorization": f"Zoho-oauthtoken {token(environment)}",
            "X-com-zoho-subscriptions-organizationid": environment["ZOHO_ORGANIZATION_ID"],
        }
        self.organization = environment["ZOHO_ORGANIZATION_ID"]
        self.ids = known_ids(environment)
        self.statuses = Counter[int]()
        self.failures: list[str] = []
        self.product = product
        self.seen = 0
        self.operations = 0
        self.unusable: list[str] = []

    def all_of(self, file: Path) -> None:
        import schemathesis
        from schemathesis.core.errors import InvalidSchema

        described = yaml.load(file.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
        # JSON has no dates, which YAML sees in examples
        plain = json.loads(json.dumps(described, default=str))
        schema = schemathesis.openapi.from_dict(plain)
        for found in schema.get_all_operations():
            self.seen += 1
            operation = getattr(found, "ok", lambda: None)()
            if operation is None or self.seen % EVERY[self.product]:
                continue
            try:
                self._fuzz(operation)
            except InvalidSchema as problem:  # the description's own fault
                self.unusable.append(f"{operation.label}: {problem}")
            else:
                self.operations += 1

    def _fuzz(self, operation: Any) -> None:
        @seed(7)
        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def calls(case: Any) -> None:
            self._call(case)

        calls()

    def _call(self, case: Any) -> None:
        for name in case.path_parameters or {}:
            case.path_parameters[name] = self.ids.get(name, "460000000000097001")
        case.query = {**dict(case.query or {}), "organization_id": self.organization}
        case.headers = {**dict(case.headers or {}), **self.headers}
        reply = case.call(base_url=self.base, timeout=30)
        self.statuses[reply.status_code] += 1
        asked = f"{case.method} {case.path}"
        if reply.status_code >= 500 and reply.status_code != UNPLAYED:
            self.failures.append(f"{asked}: HTTP {reply.status_code} {reply.text[:200]}")
        elif "json" in reply.headers.get("Content-Type", "") and reply.content:
            answer = reply.json()
            refused = reply.status_code >= 400
            if refused and not (answer.get("code") and answer.get("message")):
                self.failures.append(f"{asked}: refused without code or message: {answer}")


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.filterwarnings("ignore")  # of the descriptions, of which schemathesis has much to say
@pytest.mark.parametrize("product", list(BASES))
def test_the_sandbox_answers_any_request_as_zoho_does(product: str) -> None:
    pytest.importorskip("schemathesis", reason="the extra test brings schemathesis")
    if not OFFICIAL.is_dir():
        pytest.skip(f"the official descriptions are not at {OFFICIAL}")
    with serving() as environment:
        run = Run(environment, product)
        for file in sorted((OFFICIAL / product).glob("*.yml")):
            run.all_of(file)
    print(f"{product}: {run.operations} operations, {dict(run.statuses)}, {run.unusable}")
    assert run.operations > 50
    assert len(run.unusable) < run.operations / 10
    assert run.failures == []
