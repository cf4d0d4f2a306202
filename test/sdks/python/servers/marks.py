"""What the tools of every server here do alike: wait, and tell the test by files when they began and when they were given up."""

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


def environment() -> str:
    return f"{sorted(os.environ)} {sys.argv}"
