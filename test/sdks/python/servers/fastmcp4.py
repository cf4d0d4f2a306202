"""
A server of FastMCP 4, which speaks both eras, and whose streams of the older one can be resumed. Its tools ask in the way
of the connection's era: with a request in the middle of a call, or with an answer that says what is missing.
"""

from dataclasses import dataclass

import uvicorn
from fastmcp import Context, FastMCP
from fastmcp.server.event_store import EventStore
from marks import PORT, add_plain, count
from mcp_types import (
    CreateMessageRequest,
    CreateMessageRequestParams,
    ElicitRequest,
    ElicitRequestFormParams,
    InputRequiredResult,
    SamplingMessage,
    TextContent,
)

server = FastMCP("fastmcp4")
asked = SamplingMessage(role="user", content=TextContent(type="text", text="Say something."))
question = "What is your name?"


@dataclass
class Name:
    name: str


def is_modern(ctx: Context) -> bool:
    return ctx.request_context.protocol_version >= "2026"


@server.tool
async def progress(ctx: Context, steps: int = 4) -> str:
    return await count(steps, ctx.report_progress)


@server.tool
async def sample(ctx: Context) -> str | InputRequiredResult:
    if not is_modern(ctx):
        result = await ctx.session.create_message(messages=[asked], max_tokens=20)
    elif ctx.input_responses is None:
        request = CreateMessageRequest(params=CreateMessageRequestParams(messages=[asked], max_tokens=20))
        return InputRequiredResult(input_requests={"sample": request})
    else:
        result = ctx.input_responses["sample"]
    return f"the model said: {result.content.text}"


@server.tool
async def elicit(ctx: Context) -> str | InputRequiredResult:
    if not is_modern(ctx):
        result = await ctx.elicit(question, response_type=Name)
        return f"the user said: {result.action} {result.data.name if result.action == 'accept' else ''}"
    if ctx.input_responses is None:
        schema = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
        request = ElicitRequest(params=ElicitRequestFormParams(message=question, requested_schema=schema))
        return InputRequiredResult(input_requests={"name": request})
    answer = ctx.input_responses["name"]
    return f"the user said: {answer.action} {answer.content['name']}"


add_plain(server)
uvicorn.run(server.http_app(event_store=EventStore()), host="127.0.0.1", port=PORT, log_level="warning")
