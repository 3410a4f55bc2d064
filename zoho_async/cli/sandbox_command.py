"""``zoho-async sandbox`` and its options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, TypeAlias

from cyclopts import Parameter
from cyclopts.validators import Number

from zoho_async.cli.connect import SANDBOX_SEED
from zoho_async.cli.options import option

Host: TypeAlias = Annotated[str, option("Address to listen on.", default=True)]
Port: TypeAlias = Annotated[
    int,
    Parameter(
        help="Port to listen on. 0 takes a free port.",
        show_default=True,
        validator=Number(gte=0, lte=65_535),
    ),
]
Seed: TypeAlias = Annotated[
    int, option("Seed of the sample data. The same seed makes the same records.", default=True)
]
Sizes: TypeAlias = Annotated[
    tuple[str, ...], option("`RESOURCE=ROWS`, such as `invoices=200`. Repeatable.")
]
Minute: TypeAlias = Annotated[
    float,
    option(
        "Length of its minute in seconds. Clients need the same (`export --minute`).", default=True
    ),
]
Latency: TypeAlias = Annotated[
    str,
    option(
        "Seconds before each reply: `0.3`, a range `0.1:0.5`, or a long tail `tail:0.3`.",
        default=True,
    ),
]
Organizations: TypeAlias = Annotated[tuple[str, ...], option("Id of an organization. Repeatable.")]
SandboxPlan: TypeAlias = Annotated[
    str, option("Zoho plan, which sets the daily and concurrent limits.", default=True)
]
Speed: TypeAlias = Annotated[
    float, option("Speed of its clock: at 60, its minute takes a second.", default=True)
]
FaultsFile: TypeAlias = Annotated[
    Path | None, option("TOML file of `[[fault]]` tables: what fails, where and how often.")
]
ToNetwork: TypeAlias = Annotated[
    bool,
    option("Let other machines connect. The sandbox's secrets are public."),
]
AllowedHosts: TypeAlias = Annotated[
    tuple[str, ...],
    option("Host name that requests may use, such as a container's. Repeatable."),
]
WebhookHosts: TypeAlias = Annotated[
    tuple[str, ...],
    option("Host that webhooks may be sent to, in addition to loopback. Repeatable."),
]
SnapshotFile: TypeAlias = Annotated[
    Path | None,
    option(
        "Load the records of this file if it exists, and save them there when the sandbox stops."
    ),
]

SANDBOX_EPILOGUE: Final = """
**Examples**

- more data, faster: `zoho-async sandbox --size invoices=20000 --speed 60`
- the limits of the free plan: `zoho-async sandbox --organization 111 --plan free`
- records to share: `zoho-async sandbox --snapshot books.jsonl`
- with faults: `zoho-async sandbox --faults faults.toml`, with lines such as
  `[[fault]]`, `kind = "status"`, `status = 503`, `path = "*/invoices"`, `probability = 0.05`,
  `times = "always"`
"""


def sandbox(
    *,
    host: Host = "127.0.0.1",
    port: Port = 8080,
    open_to_network: ToNetwork = False,
    allowed_host: AllowedHosts = (),
    webhook_host: WebhookHosts = (),
    seed: Seed = SANDBOX_SEED,
    size: Sizes = (),
    organization: Organizations = (),
    plan: SandboxPlan = "premium",
    minute: Minute = 60.0,
    speed: Speed = 1.0,
    latency: Latency = "0",
    faults: FaultsFile = None,
    snapshot: SnapshotFile = None,
) -> int:
    """Serve a local Zoho with sample data and print the environment for its clients.

    Its address opens a page with its records, calls, limits and faults.
    """
    from zoho_async.cli.sandbox import SandboxOptions, serve

    return serve(
        SandboxOptions(
            host=host,
            port=port,
            open_to_network=open_to_network,
            allowed_hosts=allowed_host,
            webhook_hosts=webhook_host,
            seed=seed,
            sizes=size,
            organizations=organization,
            plan=plan,
            minute=minute,
            speed=speed,
            latency=latency,
            faults=faults,
            snapshot=snapshot,
        )
    )
