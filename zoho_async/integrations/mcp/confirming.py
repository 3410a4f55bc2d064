"""Ask the user of the client to approve a proposal, with a form of the protocol.

The client shows the effect to its user, and sends the answer. The model does not see the form, but
a client decides by itself whether a person answers: so the server does this only if it was started
with ``--confirm-in-client``.

Newer clients get the question as the result of the tool and call the tool again with the answer;
the repeated call must propose the same request. Older ones are asked during the call.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from zoho_async.errors import ConfigurationError
from zoho_async.integrations.mcp.effects import closing_lines, effect_lines
from zoho_async.integrations.mcp.marks import marked, structured, visible
from zoho_async.integrations.mcp.proposals import Proposal
from zoho_async.integrations.mcp.tools import ProposeArguments, Tools, decoded

_QUESTION: Final = "approve"
_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        _QUESTION: {"type": "boolean", "title": "Write this to the books", "default": False}
    },
    "required": [_QUESTION],
}


async def confirmed(
    tools: Tools, context: ServerRequestContext[Any], params: types.CallToolRequestParams
) -> types.CallToolResult | types.InputRequiredResult:
    """Propose a write, and send it if the user of the client approves."""
    wanted = decoded(params.arguments or {}, ProposeArguments)
    if params.request_state is not None:
        proposal = await _proposal_of(tools, wanted, params.request_state)
        answer = (params.input_responses or {}).get(_QUESTION)
        return await _answered(tools, proposal, answer)
    proposal = await tools.proposed(wanted)
    message = visible_lines(proposal)
    if context.protocol_version in MODERN_PROTOCOL_VERSIONS:
        question = types.ElicitRequest(
            params=types.ElicitRequestFormParams(message=message, requested_schema=_SCHEMA)
        )
        return types.InputRequiredResult(
            input_requests={_QUESTION: question}, request_state=proposal.id
        )
    asked = await context.session.elicit_form(message, _SCHEMA, context.request_id)
    return await _answered(tools, proposal, asked)


def visible_lines(proposal: Proposal) -> str:
    """The effect as text for a person, without characters that hide or move others.

    Its last lines say the operation again, because a client may show the end of a long text only.
    """
    lines = effect_lines(proposal.id, proposal.effect)
    lines += closing_lines(proposal.id, proposal.effect, len(lines))
    return "\n".join(map(visible, lines))


async def _proposal_of(tools: Tools, wanted: ProposeArguments, id: str) -> Proposal:
    """The proposal that a repeated call continues. It must be open and have the same request."""
    proposal = await tools.writes.proposals.find(id)
    intent, _ = tools.intent_of(wanted)
    if proposal.state != "open" or intent.digest != proposal.intent.digest:
        raise ConfigurationError(f"proposal {id} cannot be answered now; propose it again")
    return proposal


async def _answered(tools: Tools, proposal: Proposal, answer: object) -> types.CallToolResult:
    head = {"proposal": proposal.id}
    if not isinstance(answer, types.ElicitResult) or answer.action == "cancel":
        next_ = f"no answer; a person can run: zoho-async approve {proposal.id}"
        return result_of({**head, "state": "open", "next": next_})
    if answer.action != "accept" or (answer.content or {}).get(_QUESTION) is not True:
        await tools.writes.proposals.mark(proposal.id, "declined", "the user declined it")
        return result_of({**head, "state": "declined"})
    done = await tools.approve(proposal)
    return result_of({**head, "state": done.state, "outcome": done.outcome})


def result_of(data: Mapping[str, Any], *, is_error: bool = False) -> types.CallToolResult:
    """Return the result of a tool, marked as data."""
    return types.CallToolResult(
        content=[types.TextContent(type="text", text=marked(data))],
        structured_content=structured(data),
        is_error=is_error,
    )
