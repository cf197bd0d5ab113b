"""An output folder whose every job was delivered, without a service that makes videos.

The state is built by the journal's own operations, one by one as a run makes them; the videos are small real ones that
differ in their last bytes. The page, the table and the ledger are left to the first run.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from hashlib import sha256
from pathlib import Path

from plan import write_spec
from run import write_video

from vidu_run.frames import keep
from vidu_run.job import Frame, Job
from vidu_run.journal import file as state_file
from vidu_run.journal.port import Delivered, Limits
from vidu_run.journal.sqlite import SqliteJournal
from vidu_run.key import new_marker
from vidu_run.outcome import Accepted
from vidu_run.record import State
from vidu_run.reply import Look, Phase
from vidu_run.shelf import video_name
from vidu_run.spec.load import load

AT_ONCE = 500
LIMITS = Limits(AT_ONCE, AT_ONCE, 60.0, 60.0)
SIGNED = "https://videos.example/" + "x" * 100 + "?signature=" + "f" * 200
"""A link as long as those that services sign."""


async def build(spec: Path, url: str) -> None:
    out = spec.parent / "out" / spec.stem
    jobs = load(spec).jobs
    video = clip()
    state_file.create(out)
    (out / "videos").mkdir()
    for frame in {image for job in jobs for image in job.images if isinstance(image, Frame)}:
        keep(frame, spec.parent / frame.source, out / "frames")
    journal = SqliteJournal(out)
    try:
        await journal.begin({"founded": "bench", "spec": spec.name, "provider": "octopusx", "origin": url})
        await journal.plant(jobs)
        for start in range(0, len(jobs), AT_ONCE):
            some = enumerate(jobs[start : start + AT_ONCE], start)
            await asyncio.gather(*(buy(journal, out, job, number, video) for number, job in some))
    finally:
        journal.close()


async def buy(journal: SqliteJournal, out: Path, job: Job, number: int, video: bytes) -> None:
    intent = await journal.intent(job, new_marker(job.key, f"{number:016x}"), LIMITS)
    task = f"{10**17 + number}"
    record = await journal.settle(intent, Accepted(task, Look(task_id=task, phase=Phase.QUEUED)))
    ready = await journal.note(record, State.READY, Look(task_id=task, phase=Phase.SUCCEEDED, url=SIGNED))
    content = video + b"\0\0\0\x10free" + number.to_bytes(8)
    (out / video_name(job.name)).write_bytes(content)
    await journal.delivered(ready, Delivered(video_name(job.name), sha256(content).hexdigest(), len(content)))


def clip() -> bytes:
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch) / "clip.mp4"
        write_video(target)
        return target.read_bytes()


if __name__ == "__main__":
    asyncio.run(build(write_spec(Path(sys.argv[1]), int(sys.argv[2])), sys.argv[3]))
