"""A client of the official Python SDK 1.x, driven by JSON lines."""

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta

import httpx
import mcp.types as types
from lines import Connection, say, serve
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client


async def sampled(_context, _params) -> types.CreateMessageResult:
    content = types.TextContent(type="text", text="sampled!")
    return types.CreateMessageResult(model="test-model", role="assistant", content=content)


async def elicited(_context, _params) -> types.ElicitResult:
    return types.ElicitResult(action="accept", content={"name": "Ada"})


class Peer:
    def __init__(self) -> None:
        self.connection: Connection | None = None
        self.session: ClientSession | None = None
        self.calls: dict[int, tuple[asyncio.Task, int]] = {}

    async def connect(self, command: dict) -> dict:
        @asynccontextmanager
        async def open_it():
            headers = {"Authorization": f"Bearer {command['token']}"}
            timeout = httpx.Timeout(command["timeout"])
            async with httpx.AsyncClient(headers=headers, timeout=timeout, follow_redirects=True) as http:
                async with streamable_http_client(command["url"], http_client=http) as (read, write, _):
                    limit = timedelta(seconds=command["timeout"])
                    handlers = {"sampling_callback": sampled, "elicitation_callback": elicited}
                    async with ClientSession(read, write, read_timeout_seconds=limit, **handlers) as session:
                        yield session, await session.initialize()

        connection = Connection(open_it)
        self.session, agreed = await connection.client()
        self.connection = connection
        return {"revision": agreed.protocolVersion}

    async def tools(self, _command: dict) -> dict:
        return {"tools": [tool.name for tool in (await self.session.list_tools()).tools]}

    async def call(self, command: dict) -> dict:
        told = 0

        async def on_progress(*_):
            nonlocal told
            told += 1
            say({"event": "progress", "call": command["id"]})

        # the library gives numbers in order, and none but by this field
        self.calls[command["id"]] = (asyncio.current_task(), self.session._request_id)
        try:
            result = await self.session.call_tool(command["tool"], command["args"], progress_callback=on_progress)
        finally:
            del self.calls[command["id"]]
        text = "".join(part.text for part in result.content if part.type == "text")
        return {"text": text, "progress": told, "error": result.isError}

    async def cancel(self, command: dict) -> None:
        """The library has no call for it: the notification is what its documentation says to send."""
        task, number = self.calls[command["call"]]
        params = types.CancelledNotificationParams(requestId=number, reason="given up")
        await self.session.send_notification(types.ClientNotification(types.CancelledNotification(params=params)))
        task.cancel()

    async def resources(self, _command: dict) -> dict:
        return {"uris": [str(resource.uri) for resource in (await self.session.list_resources()).resources]}

    async def read(self, command: dict) -> dict:
        result = await self.session.read_resource(command["uri"])
        return {"text": "".join(part.text for part in result.contents)}

    async def close(self, _command: dict) -> None:
        await self.connection.close()


async def main() -> None:
    await serve(Peer())


asyncio.run(main())
