"""
The loop of a client program: reads commands as JSON lines, carries out each beside the others, writes what was seen as
JSON lines. test/sdks/client-program.ts is the other end, and says what commands there are.
"""

import asyncio
import json
import sys
import traceback


def say(line: dict) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def root_of(error: BaseException) -> BaseException:
    """The one error in groups of one: task groups wrap whatever ends them."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def failure_of(error: BaseException) -> dict:
    """What a person sees of an error (the last lines of its traceback), and what a program can read of it."""
    root = root_of(error)
    told = getattr(root, "error", None)
    return {
        "shown": "".join(traceback.format_exception_only(root)).strip(),
        "rpc": getattr(told, "code", None),
        "message": getattr(told, "message", None),
        "data": getattr(told, "data", None),
    }


async def serve(peer) -> None:
    """`peer` has a coroutine for each command."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=2**24)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    running: set[asyncio.Task] = set()

    async def carry_out(command: dict) -> None:
        answer = {"id": command["id"]}
        try:
            answer |= await getattr(peer, command["do"])(command) or {}
        except asyncio.CancelledError:
            answer["failure"] = {"shown": "cancelled", "rpc": None, "message": None, "data": None}
        except BaseException as error:
            answer["failure"] = failure_of(error)
        say(answer)

    while line := await reader.readline():
        task = loop.create_task(carry_out(json.loads(line)))
        running.add(task)
        task.add_done_callback(running.discard)


class Connection:
    """A client's context managers are entered and left by one task, as they demand."""

    def __init__(self, open_it) -> None:
        self._open_it = open_it
        self._leave = asyncio.Event()
        self._ready: asyncio.Future = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._hold())

    async def _hold(self) -> None:
        try:
            async with self._open_it() as client:
                self._ready.set_result(client)
                await self._leave.wait()
        except BaseException as error:
            if self._ready.done():
                raise
            self._ready.set_exception(error)

    async def client(self):
        return await self._ready

    async def close(self) -> None:
        self._leave.set()
        await asyncio.wait_for(self._task, 10)


class Caller:
    """
    The commands that are the same with each version of the library. `client` is what is connected, `error_field` the name of a
    result's own word that the tool failed; a subclass connects and cancels.
    """

    error_field = "is_error"

    def __init__(self) -> None:
        self.connection: Connection | None = None
        self.client = None
        self.calls: dict[int, object] = {}

    def handle(self):
        """What is needed to cancel the call that the running task is about to make."""
        return asyncio.current_task()

    async def tools(self, _command: dict) -> dict:
        return {"tools": [tool.name for tool in (await self.client.list_tools()).tools]}

    async def call(self, command: dict) -> dict:
        async def on_progress(*_):
            say({"event": "progress", "call": command["id"]})

        self.calls[command["id"]] = self.handle()
        try:
            result = await self.client.call_tool(command["tool"], command["args"], progress_callback=on_progress)
        finally:
            del self.calls[command["id"]]
        text = "".join(part.text for part in result.content if part.type == "text")
        return {"text": text, "error": getattr(result, self.error_field)}

    async def resources(self, _command: dict) -> dict:
        return {"uris": [str(resource.uri) for resource in (await self.client.list_resources()).resources]}

    async def read(self, command: dict) -> dict:
        result = await self.client.read_resource(command["uri"])
        return {"text": "".join(part.text for part in result.contents)}

    async def close(self, _command: dict) -> None:
        await self.connection.close()
