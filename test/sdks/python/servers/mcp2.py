"""A server of the official Python SDK 2.x, which speaks both eras."""

from typing import Annotated

from marks import PORT, add_plain, count
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.resolve import Elicit, Resolve, Sample
from mcp_types import CreateMessageResult, SamplingMessage, TextContent
from pydantic import BaseModel

server = MCPServer("mcp2", log_level="WARNING")


class Name(BaseModel):
    name: str


def ask_model() -> Sample:
    asked = SamplingMessage(role="user", content=TextContent(type="text", text="Say something."))
    return Sample([asked], max_tokens=20)


def ask_user() -> Elicit[Name]:
    return Elicit("What is your name?", Name)


@server.tool()
async def progress(ctx: Context, steps: int = 4) -> str:
    return await count(steps, ctx.report_progress)


@server.tool()
async def sample(answer: Annotated[CreateMessageResult, Resolve(ask_model)]) -> str:
    return f"the model said: {answer.content.text}"


@server.tool()
async def elicit(answer: Annotated[Name, Resolve(ask_user)]) -> str:
    return f"the user said: accept {answer.name}"


add_plain(server)
server.run(transport="streamable-http", port=PORT)
