"""``zoho-async sandbox``: serves a local Zoho."""

from __future__ import annotations

import asyncio
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from zoho_async.cli import outcome
from zoho_async.cli.connect import SANDBOX_SEED, SANDBOX_SIZES
from zoho_async.cli.outcome import interruptible
from zoho_async.errors import ConfigurationError
from zoho_async.limits import PLANS
from zoho_async.regions import is_loopback
from zoho_async.sandbox import Fault, Sandbox, WebhookRules, parse_lag, read_rules

_A_DAY_BY_CONTRACT = 10_000


class SandboxOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options of the sandbox, as text where the command line has text."""

    host: str
    port: int
    open_to_network: bool
    allowed_hosts: Sequence[str]
    webhook_hosts: Sequence[str]
    seed: int
    sizes: Sequence[str]
    organizations: Sequence[str]
    plan: str
    minute: float
    speed: float
    latency: str
    faults: Path | None
    snapshot: Path | None


def serve(order: SandboxOptions) -> int:
    """Serve until interrupted, then return 0.

    Returns 1 if the snapshot cannot be saved. Raises `ConfigurationError` for invalid options.
    """
    sandbox = build(order)
    code = _serve_until_stopped(sandbox, order)
    if code == outcome.DONE and order.snapshot is not None:
        code = _save(sandbox, order.snapshot)
    return code


def _serve_until_stopped(sandbox: Sandbox, order: SandboxOptions) -> int:
    try:
        asyncio.run(interruptible(_serve(sandbox)))
    except outcome.Interrupted:
        print("sandbox stopped", file=sys.stderr)
        return outcome.DONE
    except OSError as problem:
        print(
            f"zoho-async: cannot listen on {order.host}:{order.port}: {problem.strerror}; "
            "choose another port with --port (0 takes a free port)",
            file=sys.stderr,
        )
        return outcome.USAGE
    return outcome.DONE


def _save(sandbox: Sandbox, file: Path) -> int:
    try:
        sandbox.save_snapshot(file)
    except OSError as problem:
        print(f"zoho-async: cannot save {file}: {problem.strerror}", file=sys.stderr)
        return outcome.FAILED
    print(f"saved {file}", file=sys.stderr)
    return outcome.DONE


def build(order: SandboxOptions) -> Sandbox:
    """The sandbox for the options. Raises `ConfigurationError`."""
    if not is_loopback(order.host) and not order.open_to_network:
        raise ConfigurationError(
            f"--host {order.host} lets other machines connect, and its secrets are public: "
            "add --open-to-network if you want that"
        )
    if order.plan not in PLANS:
        raise ConfigurationError(f"unknown plan {order.plan!r}: use one of {', '.join(PLANS)}")
    if order.minute <= 0:
        raise ConfigurationError(f"--minute must be above 0, got {order.minute:g}")
    for name in order.organizations:
        if not name.isdecimal():
            raise ConfigurationError(f"--organization takes an id such as 10234695, got {name!r}")
    snapshot = order.snapshot
    if snapshot is not None and not snapshot.parent.is_dir():
        raise ConfigurationError(f"--snapshot {snapshot}: there is no folder {snapshot.parent}")
    saved = snapshot is not None and snapshot.exists()
    if saved and (order.sizes or order.organizations or order.seed != SANDBOX_SEED):
        raise ConfigurationError(
            f"--snapshot {snapshot} has its own sample data: leave out --seed, --size and "
            "--organization, or name a new file"
        )
    plan = PLANS[order.plan]
    return Sandbox(
        snapshot=snapshot if saved else None,
        seed=order.seed,
        sizes=parse_sizes(order.sizes),
        organization=(order.organizations or ("10234695",))[0],
        organizations=order.organizations,
        per_day=plan.day or _A_DAY_BY_CONTRACT,
        in_flight=plan.in_flight,
        minute=order.minute,
        speed=order.speed,
        latency=parse_lag(order.latency),
        faults=_faults(order.faults),
        host=order.host,
        port=order.port,
        allowed_hosts=order.allowed_hosts,
        webhooks=WebhookRules(hosts=tuple(order.webhook_hosts)),
    )


def _faults(file: Path | None) -> list[Fault]:
    if file is None:
        return []
    try:
        return read_rules(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) else "it is not UTF-8"
        raise ConfigurationError(f"--faults {file} cannot be read: {reason}") from None
    except ConfigurationError as wrong:
        raise ConfigurationError(f"--faults {file}: {wrong}") from None


async def _serve(sandbox: Sandbox) -> None:
    async with sandbox:
        for name, value in sandbox.environment().items():
            print(f"export {name}={shlex.quote(value)}")
        sys.stdout.flush()
        minute = sandbox.client_minute
        slower = "" if minute == 60 else f" --minute {minute:g}"
        print(
            f"serving {sandbox.url} (open it in a browser to see calls and limits)\n"
            "paste the lines above into another shell and run there: "
            f"zoho-async export --to DIR{slower}\nCtrl-C stops the sandbox",
            file=sys.stderr,
        )
        await asyncio.Event().wait()


def parse_sizes(texts: Sequence[str]) -> dict[str, int]:
    """``["invoices=6000"]`` over the default sizes. Raises `ConfigurationError`."""
    sizes = dict(SANDBOX_SIZES)
    for text in texts:
        name, _, rows = text.partition("=")
        full = name if "." in name else f"books.{name}"
        if full not in sizes or not rows.isdecimal():
            raise ConfigurationError(
                f"--size takes RESOURCE=ROWS with one of {', '.join(sizes)}, got {text!r}"
            )
        sizes[full] = int(rows)
    return sizes
