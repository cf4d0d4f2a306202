"""A client of the official Python SDK 2.x, driven by JSON lines. It asks the server for its era, as it does by default."""

import asyncio
from contextlib import asynccontextmanager

import httpx2
import mcp_types as types
from lines import Connection, say, serve
from mcp import Client
from mcp.client.streamable_http import streamable_http_client


async def sampled(_context, _params) -> types.CreateMessageResult:
    content = types.TextContent(type="text", text="sampled!")
    return types.CreateMessageResult(model="test-model", role="assistant", content=content)


async def elicited(_context, _params) -> types.ElicitResult:
    return types.ElicitResult(action="accept", content={"name": "Ada"})


class Peer:
    def __init__(self) -> None:
        self.connection: Connection | None = None
        self.client: Client | None = None
        self.calls: dict[int, asyncio.Task] = {}

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

    async def tools(self, _command: dict) -> dict:
        return {"tools": [tool.name for tool in (await self.client.list_tools()).tools]}

    async def call(self, command: dict) -> dict:
        told = 0

        async def on_progress(*_):
            nonlocal told
            told += 1
            say({"event": "progress", "call": command["id"]})

        self.calls[command["id"]] = asyncio.current_task()
        try:
            result = await self.client.call_tool(command["tool"], command["args"], progress_callback=on_progress)
        finally:
            del self.calls[command["id"]]
        text = "".join(part.text for part in result.content if part.type == "text")
        return {"text": text, "progress": told, "error": result.is_error}

    async def cancel(self, command: dict) -> None:
        """Whoever leaves a call tells the server so."""
        self.calls[command["call"]].cancel()

    async def resources(self, _command: dict) -> dict:
        return {"uris": [str(resource.uri) for resource in (await self.client.list_resources()).resources]}

    async def read(self, command: dict) -> dict:
        result = await self.client.read_resource(command["uri"])
        return {"text": "".join(part.text for part in result.contents)}

    async def close(self, _command: dict) -> None:
        await self.connection.close()


async def main() -> None:
    await serve(Peer())


asyncio.run(main())
