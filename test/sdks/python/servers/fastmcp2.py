"""A server of FastMCP 2, whose streams can be resumed: its events have ids."""

import os
from dataclasses import dataclass

import uvicorn
from fastmcp import Context, FastMCP
from fastmcp.server.event_store import EventStore
from marks import NOTE, PORT, count, environment, wait

server = FastMCP("fastmcp2")


@dataclass
class Name:
    name: str


@server.tool
def echo(message: str) -> str:
    return f"Echo: {message}"


@server.tool
async def slow(seconds: float = 1) -> str:
    return await wait(seconds)


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


@server.tool
def pid() -> str:
    return str(os.getpid())


@server.tool
def fail() -> str:
    raise ValueError("it went wrong")


@server.tool
def env() -> str:
    return environment()


@server.resource(NOTE)
def note() -> str:
    return "a note"


uvicorn.run(server.http_app(event_store=EventStore()), host="127.0.0.1", port=PORT, log_level="warning")
