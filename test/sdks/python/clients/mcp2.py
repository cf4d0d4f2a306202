"""A client of the official Python SDK 2.x, driven by JSON lines. It asks the server for its era, as it does by default."""

import asyncio
from contextlib import asynccontextmanager

import httpx2
import mcp_types as types
from lines import Caller, Connection, serve
from mcp import Client
from mcp.client.streamable_http import streamable_http_client


async def sampled(_context, _params) -> types.CreateMessageResult:
    content = types.TextContent(type="text", text="sampled!")
    return types.CreateMessageResult(model="test-model", role="assistant", content=content)


async def elicited(_context, _params) -> types.ElicitResult:
    return types.ElicitResult(action="accept", content={"name": "Ada"})


class Peer(Caller):
    async def connect(self, command: dict) -> dict:
        @asynccontextmanager
        async def open_it():
            headers = {"Authorization": f"Bearer {command['token']}"}
            async with httpx2.AsyncClient(headers=headers, timeout=httpx2.Timeout(command["timeout"])) as http:
                transport = streamable_http_client(command["url"], http_client=http)
                handlers = {"sampling_callback": sampled, "elicitation_callback": elicited}
                async with Client(transport, read_timeout_seconds=command["timeout"], **handlers) as client:
                    yield client

        connection = Connection(open_it)
        self.client = await connection.client()
        self.connection = connection
        return {"revision": self.client.protocol_version}

    async def cancel(self, command: dict) -> None:
        """Whoever leaves a call tells the server so."""
        self.calls[command["call"]].cancel()


async def main() -> None:
    await serve(Peer())


asyncio.run(main())
