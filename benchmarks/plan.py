"""What a job of a large spec costs to check and to plan, against the least that any tool would do for it.

Writes a sweep of frame pairs x prompts x seeds, runs the real command on it and on one job of it, and prints CPU per
job beyond start-up and the peak of memory. `bare` in the same run: Jinja, JSON and SHA-256 once a job, in one process.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from PIL import Image
from process import measured

PAIRS, PROMPTS = 50, 20
BARE = """
import hashlib, json, sys
from jinja2 import Environment
name = Environment().from_string("{{ pair }}-{{ prompt }}-s{{ seed }}")
request = {"model": "viduq2-turbo", "duration": 5, "resolution": "720p", "prompt": "a boat " * 20}
for seed in range(int(sys.argv[1])):
    name.render(pair="p1", prompt="slow", seed=seed)
    hashlib.sha256(json.dumps(request | {"seed": seed}, sort_keys=True).encode()).hexdigest()
"""


def write_spec(folder: Path, jobs: int) -> Path:
    (folder / "frames").mkdir(parents=True)
    for number in range(PAIRS):
        for end in "ab":
            Image.new("RGB", (192, 108), (number * 5, 90, ord(end))).save(folder / f"frames/p{number}-{end}.png")
    prompts = "".join(
        f"        - {{name: look-{n}, text: 'take {n}: {'the camera drifts ' * 8}'}}\n" for n in range(PROMPTS)
    )
    spec = folder / "jobs.yaml"
    spec.write_text(
        "version: 1\nprovider: octopusx\nmax_jobs: 2000000\n"
        "defaults: {model: viduq2-turbo, duration: 5, resolution: 720p}\n"
        'jobs:\n  - name: "{{ pair.name }}-{{ look.name }}-s{{ seed }}"\n    matrix:\n'
        '      pair: {pairs: {first: "frames/*-a.png", last: "frames/*-b.png"}}\n'
        f"      look:\n{prompts}"
        f"      seed: {{range: [1, {max(1, jobs // (PAIRS * PROMPTS))}]}}\n"
        '    request:\n      images: ["{{ pair.first }}", "{{ pair.last }}"]\n'
        '      prompt: "{{ pair.name }}: {{ look.text }}"\n      seed: "{{ seed }}"\n'
    )
    return spec


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    wish = parser.parse_args()
    importing, _ = measured("-c", "import aiohttp")
    helping, _ = measured("-m", "vidu_run", "--help")
    print(f"--help {helping:.2f} s CPU, {helping / importing:.2f} of `import aiohttp` ({importing:.2f} s)")
    with tempfile.TemporaryDirectory() as scratch:
        start = {}
        for command in ("check", "plan"):
            small = write_spec(Path(scratch) / f"one-{command}", PAIRS * PROMPTS)
            start[command], _ = measured("-m", "vidu_run", command, str(small), "--json")
        print("jobs       check us/job   MB    plan us/job   MB    bare us/job")
        for jobs in wish.jobs:
            spec = write_spec(Path(scratch) / str(jobs), jobs)
            bare = (measured("-c", BARE, str(jobs))[0] - measured("-c", BARE, "1")[0]) / jobs * 1e6
            line = f"{jobs:<10,}"
            for command in ("check", "plan"):
                cpu, memory = measured("-m", "vidu_run", command, str(spec))
                beyond = (cpu - start[command]) / max(1, jobs - PAIRS * PROMPTS) * 1e6
                line += f" {beyond:>10.0f} {memory:>7.0f}   "
            print(f"{line} {bare:>8.0f}")


if __name__ == "__main__":
    main()
