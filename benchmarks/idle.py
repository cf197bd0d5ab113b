"""What the commands over a finished sweep cost: a run with nothing to do, `status`, `plan`, the first page.

The sweep is made by `delivered.py`, nothing is bought. CPU is the median of some runs, beside `import aiohttp` in the
same run; `page` is the first run over the state, which writes page, table and ledger, with posters of the frames alone.
`run, whole` is a run that may not be quiet: it expands the spec and reads the state.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from process import measured

HERE = Path(__file__).parent
URL = "http://127.0.0.1:9"
WITHOUT_POSTERS = "import sys; sys.modules['av'] = None; from vidu_run.cli import main; main()"


def commands(spec: Path) -> dict[str, Sequence[str]]:
    run = ["run", str(spec), "--base-url", URL]
    return {
        "import aiohttp": ["-c", "import aiohttp"],
        "page": ["-c", WITHOUT_POSTERS, *run],
        "run": ["-m", "vidu_run", *run],
        "run, whole": ["-m", "vidu_run", *run, "--limit", "9999999"],
        "status": ["-m", "vidu_run", "status", str(spec)],
        "plan": ["-m", "vidu_run", "plan", str(spec), "--base-url", URL],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, nargs="+", default=[2_000, 100_000])
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--only", help="commands whose name has this in it, beside the first")
    parser.add_argument("--folder", type=Path, help="where the sweeps are kept and found again; else they go")
    wish = parser.parse_args()
    os.environ["OCTOPUSX_API_KEY"] = "bench"
    # As installed: this package compiled, as what it is compared with is.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    print("jobs       command          CPU s   of import aiohttp     MB   state MB")
    with tempfile.TemporaryDirectory() as scratch:
        for jobs in wish.jobs:
            folder = (wish.folder or Path(scratch)) / str(jobs)
            if not folder.exists():
                subprocess.run([sys.executable, str(HERE / "delivered.py"), str(folder), str(jobs), URL], check=True)
            table(jobs, folder, wish)


def leave_alone(folder: Path) -> None:
    """Frames written just before are not known by their times, and no run over them is quiet."""
    written = max(path.stat().st_ctime for path in folder.glob("frames/*"))
    time.sleep(max(0.0, written + 3 - time.time()))


def table(jobs: int, folder: Path, wish: argparse.Namespace) -> None:
    out, importing = folder / "out/jobs", 0.0
    for name, words in commands(folder / "jobs.yaml").items():
        if wish.only and importing and wish.only not in name:
            continue
        if name == "page":
            (out / "report.html").unlink(missing_ok=True)
        if name == "run":
            leave_alone(folder)
        if name != "page":
            measured(*words)
        taken = [measured(*words) for _ in range(1 if name == "page" else wish.times)]
        cpu, memory = median(cpu for cpu, _ in taken), max(memory for _, memory in taken)
        importing = importing or cpu
        state = (out / "state.db").stat().st_size / 1e6
        print(f"{jobs:<10,} {name:<15} {cpu:>6.2f} {cpu / importing:>19.2f} {memory:>6.0f} {state:>10.1f}", flush=True)


if __name__ == "__main__":
    main()
