"""The server of the protocol: tools over standard input and output, or over HTTP.

Every result is marked as data (`marks`). An error is a result too, so that the model can correct
its request. An unexpected error becomes its class alone, because its text may hold anything.
"""

from __future__ import annotations

import logging
from typing import Any, Final

import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server

from zoho_async import __version__
from zoho_async.errors import ZohoError
from zoho_async.integrations.mcp.confirming import confirmed, result_of
from zoho_async.integrations.mcp.tools import INSTRUCTIONS, Tools, ToolText

_NAME: Final = "zoho-async"


def server_of(tools: Tools) -> Server[Any]:
    """Return the protocol's server for ``tools``."""

    async def list_tools(
        context: ServerRequestContext[Any], params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[_as_tool(text) for text in tools.texts])

    async def call_tool(
        context: ServerRequestContext[Any], params: types.CallToolRequestParams
    ) -> types.CallToolResult | types.InputRequiredResult:
        try:
            if params.name == "propose" and tools.writes.confirm_in_client and _can_ask(context):
                return await confirmed(tools, context, params)
            return result_of(await tools.call(params.name, params.arguments or {}))
        except ZohoError as error:
            return result_of({"error": str(error), "kind": type(error).__name__}, is_error=True)
        except Exception as problem:
            kind = type(problem).__name__
            text = f"unexpected {kind}; see the arguments with describe"
            return result_of({"error": text, "kind": kind}, is_error=True)

    return Server(
        _NAME,
        version=__version__,
        instructions=INSTRUCTIONS,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


async def serve_stdio(server: Server[Any]) -> None:
    """Serve until the input ends."""
    async with stdio_server() as (reads, writes):
        await server.run(reads, writes, server.create_initialization_options())


def quiet_logs() -> None:
    """Keep the records of the libraries out of stderr: they repeat what clients sent."""
    for name in ("mcp", "uvicorn"):
        logging.getLogger(name).addHandler(logging.NullHandler())
        logging.getLogger(name).propagate = False


def _as_tool(text: ToolText) -> types.Tool:
    return types.Tool(
        name=text.name,
        description=text.text,
        input_schema=text.schema,
        annotations=types.ToolAnnotations(
            read_only_hint=text.only_reads, open_world_hint=text.calls_zoho
        ),
    )


def _can_ask(context: ServerRequestContext[Any]) -> bool:
    """Whether the client can ask its user to fill in a form."""
    form = types.ElicitationCapability(form=types.FormElicitationCapability())
    return context.session.check_client_capability(types.ClientCapabilities(elicitation=form))
