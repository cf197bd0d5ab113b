"""What the page of a large sweep costs a browser, against the plainest page that shows the same clips.

Writes both for so many jobs, opens them from disk in Chromium and prints the seconds until each is ready and the
renderer's memory (MB, PSS) then, after scrolling through all of it, and when it has rested. `bare`: a list of names
and lazy posters.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from vidu_run.report.page import write_page
from vidu_run.report.poster import small

POSTERS = 200
SEEDS = 20
REST = 12_000
"""Milliseconds after which Chromium has collected by itself what a scroll has left."""

BEGUN = 1500
"""Milliseconds in which a browser that has just begun is busy with pages of its own."""

ALL_OF_IT = """
async () => {
  // Headless Chromium has been seen to draw no frame any more while nothing runs in any of its processes.
  const drawn = () => new Promise((go) => (requestAnimationFrame(go), setTimeout(go, 500)));
  for (let at = 0; at < document.documentElement.scrollHeight; at += innerHeight * 0.8) {
    scrollTo(0, at);
    await drawn();
  }
  scrollTo(0, document.documentElement.scrollHeight);
  await new Promise((settle) => setTimeout(settle, 500));
}
"""


def document(jobs: int) -> dict[str, Any]:
    counts = {"done": jobs}
    facts = {"spec": "jobs.yaml", "provider": "octopusx", "rehearsal": False, "version": "0", "notes": []}
    facts |= {"generated_at": "2026-11-22T13:00:00Z", "credits": {"estimated": 40 * jobs, "charged": None}}
    facts |= {"money": None, "usd": 0.005, "aspect": 1.7778, "picks_file": "jobs.picks.yaml", "picks": []}
    facts |= {"promote": "vidu-run promote jobs.yaml", "failures": [], "axes": ["pair", "seed"], "counts": counts}
    return facts | {"jobs": [job(number) for number in range(jobs)]}


def job(number: int) -> dict[str, Any]:
    pair, seed = f"pair-{number // SEEDS}", number % SEEDS + 1
    prompt = f"{pair}: the camera drifts in slowly while the light of the morning comes over the water"
    still = {
        "name": f"frames/{pair}-a.png",
        "file": f"frames/{number // SEEDS}.png",
        "picture": poster(number // SEEDS),
    }
    request = {"model": "viduq2-turbo", "images": [still["name"]] * 2, "prompt": prompt, "seed": seed, "duration": 5}
    return {
        "name": f"{pair}-s{seed}", "key": f"{number:064x}", "state": "done", "task_id": f"{number:018}", "seed": seed,
        "credits": 40, "file": f"videos/{pair}-s{seed}.mp4", "poster": poster(number), "first": still, "last": still,
        "sha256": f"{number % POSTERS:024x}{number:040x}", "charged": False, "error": None,
        "axes": {"pair": pair, "seed": str(seed)},
        "prompt": prompt, "model": "viduq2-turbo", "duration": 5, "resolution": "720p", "took": 93.5, "hint": None,
        "request": request, "bytes": 1_200_000, "draft": None,
        "history": [["done", 1_795_300_200, 1_795_300_293, None, None]],
    }  # fmt: skip


def poster(number: int) -> str:
    return f"posters/{number % POSTERS:024x}.webp"


def write_bare(page: dict[str, Any], target: Path) -> None:
    rows = "".join(
        f'<li><img src="{job["poster"]}" loading="lazy" width="480" height="270" alt=""> {escape(job["name"])}</li>'
        for job in page["jobs"]
    )
    target.write_text(f'<!doctype html><meta charset="utf-8"><title>bare</title><ul>{rows}</ul>', "utf-8")


@contextmanager
def chromium() -> Iterator[Browser]:
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=arguments)
        yield browser
        browser.close()


def is_ours(process: Path) -> bool:
    """Whether this program is among the ancestors of a process."""
    while process.name not in ("0", "1", str(os.getpid())):
        process = process.parent / (process / "stat").read_text().rpartition(")")[2].split()[1]
    return process.name == str(os.getpid())


def renderer_memory() -> float:
    """Megabytes of our largest renderer, pages that it shares counted in parts."""
    largest = 0.0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if b"--type=renderer" in (process / "cmdline").read_bytes() and is_ours(process):
                rollup = (process / "smaps_rollup").read_text()
                largest = max(largest, int(rollup.split("Pss:")[1].split()[0]) / 1024)
        except OSError:
            continue
    return largest


def measured(target: Path) -> tuple[float, float, float, float, float]:
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.wait_for_timeout(BEGUN)
        page.goto(target.as_uri())
        ready = page.evaluate("performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd") / 1000
        page.wait_for_timeout(500)
        memory = renderer_memory()
        begun = time.monotonic()
        page.evaluate(ALL_OF_IT)
        lasted, after = time.monotonic() - begun, renderer_memory()
        page.wait_for_timeout(REST)
        return ready, memory, after, renderer_memory(), lasted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, nargs="+", default=[2_000, 20_000])
    print("jobs      page   file MB   written s   ready s   MB   MB after a full scroll   rested   scroll s")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "posters/small").mkdir(parents=True)
        for number in range(POSTERS):
            noise = Image.effect_noise((480, 270), 20).convert("RGB")
            noise.save(folder / poster(number), "WEBP", quality=60)
            noise.resize((240, 135)).save(small(folder / poster(number)), "WEBP", quality=60)
        for jobs in parser.parse_args().jobs:
            shown, begun = document(jobs), time.process_time()
            write_page(shown, folder / "report.html")
            written = time.process_time() - begun
            write_bare(shown, folder / "bare.html")
            for name, seconds in (("report", f"{written:9.2f}"), ("bare", "         ")):
                target = folder / f"{name}.html"
                ready, memory, after, rested, scrolled = measured(target)
                size = target.stat().st_size / 1e6
                print(
                    f"{jobs:<9,} {name:<7} {size:6.1f}   {seconds}   {ready:7.2f}   {memory:4.0f} {after:12.0f}"
                    f" {rested:20.0f} {scrolled:10.1f}"
                )


if __name__ == "__main__":
    main()
