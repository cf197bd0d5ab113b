"""The least that buys videos: submit, ask every quarter of a second, download. No state, no checks, no second chance.

What `run.py` measures vidu-run against. Frames are coded once and held; nothing is written down but the videos.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
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


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("frame", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--jobs", type=int, default=2000)
    parser.add_argument("--concurrency", type=int, default=200)
    wish = parser.parse_args()
    frame = f"data:image/png;base64,{base64.b64encode(wish.frame.read_bytes()).decode()}"
    slots = asyncio.Semaphore(wish.concurrency)

    async def job(session: aiohttp.ClientSession, number: int) -> None:
        request = {"model": "viduq2-turbo", "images": [frame, frame], "prompt": "a boat", "seed": number, "duration": 5}
        async with slots:
            await one(session, wish.url, request, wish.out / f"{number}.mp4")

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        await asyncio.gather(*(job(session, number) for number in range(1, wish.jobs + 1)))


if __name__ == "__main__":
    asyncio.run(main())
