"""
A server of the official Python SDK 1.x. MOUNT=1: the application is a part of a larger one of Starlette's, as its
documentation shows, which redirects /mcp to /mcp/.
"""

import contextlib
import os

import uvicorn
from marks import PORT, add_plain, count
from mcp.server.fastmcp import Context, FastMCP
from mcp.types import SamplingMessage, TextContent
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.routing import Mount

mounted = os.environ.get("MOUNT") is not None
server = FastMCP("mcp1", port=PORT, log_level="WARNING", streamable_http_path="/" if mounted else "/mcp")


class Name(BaseModel):
    name: str


@server.tool()
async def progress(ctx: Context, steps: int = 4) -> str:
    return await count(steps, ctx.report_progress)


@server.tool()
async def sample(ctx: Context) -> str:
    asked = SamplingMessage(role="user", content=TextContent(type="text", text="Say something."))
    result = await ctx.session.create_message(messages=[asked], max_tokens=20)
    return f"the model said: {result.content.text}"


@server.tool()
async def elicit(ctx: Context) -> str:
    result = await ctx.elicit(message="What is your name?", schema=Name)
    return f"the user said: {result.action} {result.data.name if result.action == 'accept' else ''}"


add_plain(server)


def mount() -> Starlette:
    inner = server.streamable_http_app()

    @contextlib.asynccontextmanager
    async def lifespan(_app):
        async with server.session_manager.run():
            yield

    return Starlette(routes=[Mount("/mcp", app=inner)], lifespan=lifespan)


if mounted:
    uvicorn.run(mount(), host="127.0.0.1", port=PORT, log_level="warning")
else:
    server.run(transport="streamable-http")
