"""The wheel, alone in an empty environment outside the repository, does what the repository does."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


FURNITURE = {
    *("vidu_run", "schemas", "examples", "tests", "docs", "benchmarks", ".ci"),
    *("pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE", "Makefile", ".gitignore", ".pre-commit-hooks.yaml"),
}


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs a checkout: asks git what it keeps")
def test_git_keeps_what_the_project_is_made_of_and_nothing_that_it_made() -> None:
    words = ["git", "-c", "safe.directory=*", "ls-files", "-z"]
    told = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    kept = [Path(name) for name in told.split("\0") if name]
    assert {path.parts[0] for path in kept} == FURNITURE
    assert [str(path) for path in kept if (ROOT / path).is_file() and (ROOT / path).stat().st_size > 1_000_000] == []


@pytest.mark.timeout(300)
def test_the_wheel_in_an_empty_environment_runs_the_quickstart_and_a_starter(tmp_path: Path) -> None:
    def do(*command: str | Path) -> str:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIDU"))}
        done = subprocess.run(
            [str(word) for word in command],
            cwd=tmp_path,
            env=kept | {"VIDU_RUN_LOCAL_RENDER": "quick"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    quiet = ("--quiet", "--disable-pip-version-check")
    do(sys.executable, "-m", "pip", "wheel", *quiet, "--no-deps", "--wheel-dir", tmp_path / "dist", ROOT)
    venv.create(tmp_path / "empty", with_pip=False)
    bin_folder = tmp_path / "empty/bin"
    wheel = next((tmp_path / "dist").glob("vidu_run-*.whl"))
    into = ("--python", bin_folder / "python")
    do(sys.executable, "-m", "pip", *into, "install", *quiet, "--no-compile", f"{wheel}[local]")
    shutil.copytree(
        ROOT / "examples/quickstart", tmp_path / "quickstart", ignore=shutil.ignore_patterns("out", "scenes", "*.py")
    )
    do(bin_folder / "vidu-run", "quickstart/jobs.yaml")
    assert len(list((tmp_path / "quickstart/out/jobs.local/videos").glob("*.mp4"))) == 6
    do(bin_folder / "vidu-run", "init", "starter")
    do(bin_folder / "vidu-run", "starter/jobs.yaml", "--limit", "1")
    assert len(list((tmp_path / "starter/out/jobs.local/videos").glob("*.mp4"))) == 1
    assert "start-end2video" in do(bin_folder / "vidu-run", "schema", "octopusx")
