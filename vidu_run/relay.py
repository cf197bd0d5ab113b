"""Jobs that continue the clips of others: let go when these are here, their frames taken from the delivered files.

It sends nothing. A frame is taken only from the very bytes that were delivered.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path

from vidu_run.errors import UsageTrouble
from vidu_run.files import file_digest, write_durably
from vidu_run.frames import BadFrame
from vidu_run.graph import with_clip, with_images
from vidu_run.job import Continued, Frame, Image, Job
from vidu_run.journal.sqlite import SqliteJournal
from vidu_run.providers.rules import Provider
from vidu_run.record import Record, State
from vidu_run.spec.check import ImageRules, image_findings


class Relay:
    """`jobs` are all of the spec, `waiting` those to be bought once the clips that they continue are here."""

    def __init__(
        self, jobs: Sequence[Job], waiting: Sequence[Job], provider: Provider, journal: SqliteJournal, out: Path
    ) -> None:
        self._named = {job.name: job for job in jobs} if any(job.continued for job in jobs) else {}
        self._provider = provider
        self._journal = journal
        self._out = out
        self._gone: set[str] = set()
        self._waiting: defaultdict[str, list[Job]] = defaultdict(list)
        for job in waiting:
            for name in {image.job for image in job.continued if image.job is not None}:
                self._waiting[name].append(job)

    def after(self, name: str) -> list[Job]:
        """The jobs that can go now that a clip of this name is here, in their order. Each goes once, however many clips
        it continues and whichever of them is told of first; an earlier clip of the name lets none go.
        """
        left = (job for job in self._waiting.get(name, ()) if job.name not in self._gone)
        ready = [job for job in left if all(map(self._clip, job.continued))]
        self._gone.update(job.name for job in ready)
        return ready

    async def ready(self, job: Job) -> tuple[Job, Job]:
        """The job with its own key, and as it is to be sent: with pictures that stand in the store. Raises BadFrame."""
        if not job.continued:
            return job, job
        clips = [self._clip(image) if isinstance(image, Continued) else None for image in job.images]
        known = with_images(self._provider.name, job, tuple(map(self._known, job.images, clips)))
        if twin := next(
            (one.name for one in self._named.values() if one.key == known.key and one.name != job.name), None
        ):
            raise BadFrame(f"asks for the same video as {twin}")
        sent = replace(known, images=await asyncio.to_thread(lambda: tuple(map(self._taken, known.images, clips))))
        if findings := image_findings(sent.images, ImageRules.of(self._provider.limits)):
            raise BadFrame(findings[0][1])
        await self._journal.continues(job.key, known, sent.images)
        self._named[job.name] = known
        return known, sent

    def _clip(self, image: Continued) -> Record | None:
        """The record of the clip, if it is here."""
        job = self._named.get(image.job or "")
        record = self._journal.record(job.key) if job else None
        return record if record is not None and record.state is State.DONE else None

    def _known(self, image: Image, clip: Record | None) -> Image:
        """With the task that made the clip."""
        if not isinstance(image, Continued):
            return image
        if clip is None:
            raise BadFrame(f"the {image.source} cannot be taken: its clip is not here")
        return with_clip(image, self._named[image.job or ""], {clip.key: clip})

    def _taken(self, image: Image, clip: Record | None) -> Image:
        return taken(image, clip, self._out) if isinstance(image, Continued) and clip else image


def taken(image: Continued, record: Record, out: Path) -> Frame:
    """The frame as a PNG in the store, without loss. Raises BadFrame."""
    from vidu_run.film.still import still_of

    video = out / (record.file or "")
    try:
        if file_digest(video) != record.sha256:
            raise BadFrame(f"the {image.source} cannot be taken: {record.file} is not the file that was delivered")
        picture = still_of(video, image.position)
    except (UsageTrouble, OSError) as error:
        raise BadFrame(f"the {image.source} cannot be taken: {error}") from None
    held = BytesIO()
    picture.save(held, "PNG")
    content = held.getvalue()
    frame = Frame(image.source, hashlib.sha256(content).hexdigest(), len(content), "png", *picture.size)
    if not (out / "frames" / frame.store_name).exists():
        write_durably(out / "frames" / frame.store_name, content)
    return frame
