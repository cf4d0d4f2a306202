"""
What every server here does alike: the tools that need nothing of its library, and marks by which the test knows, by files, when
a call began and when it was given up.
"""

import os
import sys

import anyio

PORT = int(os.environ["PORT"])
NOTE = "test://note"


def mark(end: str, words: str) -> None:
    path = os.environ.get("CANCEL_FILE")
    if path is not None:
        with open(path + end, "w", encoding="utf-8") as file:
            file.write(words)


async def wait(seconds: float) -> str:
    """Sleeps. CANCEL_FILE.began says that it is at work, CANCEL_FILE that it was cancelled."""
    mark(".began", "began")
    try:
        await anyio.sleep(seconds)
    except anyio.get_cancelled_exc_class():
        mark("", "cancelled")
        raise
    return f"slept {seconds:g} seconds"


async def count(steps: int, report) -> str:
    """Reports progress `steps` times."""
    for step in range(1, steps + 1):
        await report(step, steps)
        await anyio.sleep(0.02)
    return f"{steps} steps done"


def echo(message: str) -> str:
    return f"Echo: {message}"


async def slow(seconds: float = 1) -> str:
    return await wait(seconds)


def pid() -> str:
    return str(os.getpid())


def fail() -> str:
    raise ValueError("it went wrong")


def env() -> str:
    return f"{sorted(os.environ)} {sys.argv}"


def note() -> str:
    return "a note"


def add_plain(server) -> None:
    """Gives a server, of whichever library, the tools and the resource that need nothing of it."""
    for tool in (echo, slow, pid, fail, env):
        server.tool()(tool)
    server.resource(NOTE)(note)
