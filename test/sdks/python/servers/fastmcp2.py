"""A server of FastMCP 2, whose streams can be resumed: its events have ids."""

from dataclasses import dataclass

import uvicorn
from fastmcp import Context, FastMCP
from fastmcp.server.event_store import EventStore
from marks import PORT, add_plain, count

server = FastMCP("fastmcp2")


@dataclass
class Name:
    name: str


@server.tool
async def progress(ctx: Context, steps: int = 4) -> str:
    return await count(steps, ctx.report_progress)


@server.tool
async def sample(ctx: Context) -> str:
    result = await ctx.sample("Say something.", max_tokens=20)
    return f"the model said: {result.text}"


@server.tool
async def elicit(ctx: Context) -> str:
    result = await ctx.elicit("What is your name?", response_type=Name)
    return f"the user said: {result.action} {result.data.name if result.action == 'accept' else ''}"


add_plain(server)
uvicorn.run(server.http_app(event_store=EventStore()), host="127.0.0.1", port=PORT, log_level="warning")
