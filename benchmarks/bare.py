"""The least that buys videos: submit, ask every quarter of a second, download. No state, no checks, no second chance.

What `run.py` measures vidu-run against. Frames are coded once and held; nothing is written down but the videos.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
from collections.abc import Iterator
from pathlib import Path

import aiohttp

POLL = 0.25


async def one(session: aiohttp.ClientSession, url: str, request: dict[str, object], target: Path) -> None:
    async with session.post(f"{url}/vidu/ent/v2/start-end2video", json=request) as reply:
        task = (await reply.json())["task_id"]
    while True:
        await asyncio.sleep(POLL)
        async with session.get(f"{url}/vidu/ent/v2/task/{task}/creations") as reply:
            shown = await reply.json()
        if shown["status"] == "completed":
            break
    async with session.get(shown["video_url"]) as reply:
        target.write_bytes(await reply.read())


def parser(description: str | None) -> argparse.ArgumentParser:
    words = argparse.ArgumentParser(description=description)
    words.add_argument("url")
    words.add_argument("frame", type=Path)
    words.add_argument("out", type=Path)
    words.add_argument("--jobs", type=int, default=2000)
    words.add_argument("--concurrency", type=int, default=200)
    return words


def requests(frame: Path, jobs: int) -> Iterator[tuple[int, dict[str, object]]]:
    """The number of each job and what it asks for."""
    image = f"data:image/png;base64,{base64.b64encode(frame.read_bytes()).decode()}"
    for number in range(1, jobs + 1):
        fields = {"model": "viduq2-turbo", "images": [image, image], "prompt": "a boat", "seed": number, "duration": 5}
        yield number, fields


async def main() -> None:
    wish = parser(__doc__).parse_args()
    slots = asyncio.Semaphore(wish.concurrency)

    async def job(session: aiohttp.ClientSession, number: int, request: dict[str, object]) -> None:
        async with slots:
            await one(session, wish.url, request, wish.out / f"{number}.mp4")

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        await asyncio.gather(*(job(session, *asked) for asked in requests(wish.frame, wish.jobs)))


if __name__ == "__main__":
    asyncio.run(main())
