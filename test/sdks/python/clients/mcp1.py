"""A client of the official Python SDK 1.x, driven by JSON lines."""

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta

import httpx
import mcp.types as types
from lines import Caller, Connection, serve
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client


async def sampled(_context, _params) -> types.CreateMessageResult:
    content = types.TextContent(type="text", text="sampled!")
    return types.CreateMessageResult(model="test-model", role="assistant", content=content)


async def elicited(_context, _params) -> types.ElicitResult:
    return types.ElicitResult(action="accept", content={"name": "Ada"})


class Peer(Caller):
    error_field = "isError"

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
        self.client, agreed = await connection.client()
        self.connection = connection
        return {"revision": agreed.protocolVersion}

    def handle(self):
        # the library gives numbers in order, and none but by this field
        return asyncio.current_task(), self.client._request_id

    async def cancel(self, command: dict) -> None:
        """The library has no call for it: the notification is what its documentation says to send."""
        task, number = self.calls[command["call"]]
        params = types.CancelledNotificationParams(requestId=number, reason="given up")
        await self.client.send_notification(types.ClientNotification(types.CancelledNotification(params=params)))
        task.cancel()


async def main() -> None:
    await serve(Peer())


asyncio.run(main())
