"""The server of the protocol: tools over standard input and output, or over HTTP.

Every result is marked as data (`marks`). An error is a result too, so that the model can correct
its request. An unexpected error becomes its class alone, because its text may hold anything.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server

from zoho_async import __version__
from zoho_async.errors import ZohoError
from zoho_async.integrations.mcp.marks import marked, structured
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
    ) -> types.CallToolResult:
        return await _called(tools, params.name, params.arguments or {})

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
    """Keep the protocol library's records out of stderr: they repeat what clients sent."""
    logging.getLogger("mcp").addHandler(logging.NullHandler())
    logging.getLogger("mcp").propagate = False


def _as_tool(text: ToolText) -> types.Tool:
    return types.Tool(
        name=text.name,
        description=text.text,
        input_schema=text.schema,
        annotations=types.ToolAnnotations(read_only_hint=True, open_world_hint=text.calls_zoho),
    )


async def _called(tools: Tools, name: str, arguments: Mapping[str, Any]) -> types.CallToolResult:
    try:
        return _result(await tools.call(name, arguments))
    except ZohoError as error:
        return _result({"error": str(error), "kind": type(error).__name__}, is_error=True)
    except Exception as problem:
        text = f"unexpected {type(problem).__name__}; see the arguments with describe"
        return _result({"error": text, "kind": type(problem).__name__}, is_error=True)


def _result(data: Mapping[str, Any], *, is_error: bool = False) -> types.CallToolResult:
    return types.CallToolResult(
        content=[types.TextContent(type="text", text=marked(data))],
        structured_content=structured(data),
        is_error=is_error,
    )
