"""``zoho-async mcp`` and ``zoho-async approve``, and their options."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Final, TypeAlias

from zoho_async.cli import options
from zoho_async.cli.connect import ConnectionOptions
from zoho_async.cli.options import option

MirrorFile: TypeAlias = Annotated[
    Path | None,
    option("SQLite or DuckDB file of `zoho-async export`, for SQL without API calls."),
]
AllowDeletes: TypeAlias = Annotated[bool, option("Let the agent propose deletes too.")]
ConfirmInClient: TypeAlias = Annotated[
    bool,
    option(
        "Let the client ask its user to approve proposals. Only for clients that ask a person and "
        "never answer by themselves."
    ),
]
UploadFolders: TypeAlias = Annotated[
    tuple[Path, ...],
    option("Folder whose files the agent can propose to upload. Repeatable."),
]
HttpPort: TypeAlias = Annotated[
    int | None,
    option(
        "Serve HTTP on this port of 127.0.0.1 instead of standard input and output. Clients need "
        "the bearer token in `ZOHO_MCP_TOKEN`, or in a file that the first start creates."
    ),
]
ProposalId: TypeAlias = Annotated[str | None, option("Id of the proposal.")]

MCP_EPILOGUE: Final = """
**Examples**

- with SQL on an export: `zoho-async mcp --mirror books.duckdb`
- try it without an account: `zoho-async mcp --sandbox`
"""


def mcp(
    *,
    mirror: MirrorFile = None,
    allow_deletes: AllowDeletes = False,
    confirm_in_client: ConfirmInClient = False,
    uploads: UploadFolders = (),
    http: HttpPort = None,
    connection: options.ConnectionArguments = ConnectionOptions(),  # noqa: B008
) -> int:
    """Serve the books to an agent over the Model Context Protocol, within the limits.

    The agent reads lists, records and reports, and queries an export with SQL. It can propose
    writes, which `zoho-async approve` shows and sends.
    """
    from zoho_async.cli.mcp import McpOptions, serve
    from zoho_async.cli.whoami import note_if_overruled

    note_if_overruled(connection.profile)
    wanted = McpOptions(
        mirror=mirror,
        allow_deletes=allow_deletes,
        confirm_in_client=confirm_in_client,
        uploads=uploads,
        http=http,
    )
    return serve(wanted, connection, environ=os.environ)


def approve(
    proposal: ProposalId = None,
    *,
    connection: options.ConnectionArguments = ConnectionOptions(),  # noqa: B008
) -> int:
    """Show what an agent proposed, ask, and write it once. Without an id, list the proposals.

    Run it again if the outcome is not known: it looks for evidence and sends nothing twice.
    """
    from zoho_async.cli.approve import approve_proposal, list_proposals
    from zoho_async.cli.whoami import note_if_overruled

    if proposal is None:
        return list_proposals(os.environ)
    note_if_overruled(connection.profile)
    return approve_proposal(proposal, connection, environ=os.environ)
