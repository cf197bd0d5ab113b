"""The starter folder: everything a repository of specs needs, nothing of anybody's overwritten, and git told right."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Folder
from fault_server import FaultServer

from vidu_run import ledger
from vidu_run.providers.catalogue import schema_file

MADE = {
    ".gitattributes",
    ".github/workflows/vidu-run.yml",
    ".gitignore",
    "README.md",
    "frames/harbour-a.jpg",
    "frames/harbour-b.jpg",
    "jobs.yaml",
    "spec.schema.json",
}


def git(folder: Path, *words: str) -> str:
    """Git as nobody in particular: neither the machine's nor the user's settings count, beside those given here."""
    settings = ("-c", "user.name=T", "-c", "user.email=t@example.com", "-c", f"core.excludesFile={folder}/../excluded")
    place = {"HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1", "PATH": "/usr/bin:/bin:/usr/local/bin:/opt/homebrew/bin"}
    done = subprocess.run(["git", *settings, *words], cwd=folder, env=place, capture_output=True, text=True, check=True)
    return done.stdout


def files(folder: Path) -> set[str]:
    found = (path for path in folder.rglob("*") if path.is_file() or path.is_symlink())
    return {path.relative_to(folder).as_posix() for path in found if ".git" not in path.relative_to(folder).parts}


@pytest.fixture
def starter(folder: Folder) -> Path:
    assert folder("init", "starter").code == 0
    return folder.path / "starter"


def test_the_starter_is_complete_and_says_what_it_made(folder: Folder) -> None:
    told = folder("init", "starter")
    assert files(folder.path / "starter") == MADE
    assert {line for line in told.out.splitlines() if line.startswith("starter/")} == {f"starter/{n}" for n in MADE}
    assert told.out.endswith("next: vidu-run starter/jobs.yaml\n")


def test_the_schema_of_a_starter_is_that_of_the_installed_version(starter: Path) -> None:
    first, *_ = (starter / "jobs.yaml").read_text(encoding="utf-8").splitlines()
    assert first == "# yaml-language-server: $schema=./spec.schema.json"
    assert (starter / "spec.schema.json").read_bytes() == schema_file("spec.schema.json").read_bytes()


def test_a_starter_fits_into_a_folder_that_has_other_files(folder: Folder) -> None:
    (folder.path / "starter/frames").mkdir(parents=True)
    (folder.path / "starter/.github/workflows").mkdir(parents=True)
    (folder.path / "starter/frames/mine.jpg").write_bytes(b"mine")
    assert folder("init", "starter").code == 0
    assert files(folder.path / "starter") == MADE | {"frames/mine.jpg"}


@pytest.mark.parametrize("name", sorted(MADE))
def test_a_file_that_is_there_stops_all_of_it(folder: Folder, name: str) -> None:
    target = folder.path / "starter" / name
    target.parent.mkdir(parents=True)
    target.write_text("mine")
    refused = folder("init", "starter")
    assert refused.code == 2
    assert f"starter/{name} exists: nothing was written" in refused.err
    assert files(folder.path / "starter") == {name}
    assert target.read_text() == "mine"


@pytest.mark.parametrize("name", [".github", ".github/workflows", "frames"])
def test_a_file_in_the_place_of_a_folder_stops_all_of_it(folder: Folder, name: str) -> None:
    target = folder.path / "starter" / name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("mine")
    refused = folder("init", "starter")
    assert refused.code == 2
    assert f"starter/{name} exists" in refused.err
    assert files(folder.path / "starter") == {name}


def test_a_disk_that_fills_leaves_no_half_starter(folder: Folder) -> None:
    full = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000));"
        "from vidu_run.cli import main; main(['init', 'made'])"
    )
    done = subprocess.run(
        [sys.executable, "-B", "-c", full], cwd=folder.path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, "cannot be written" in done.stderr) == (2, True), done.stderr
    assert not [path for path in (folder.path / "made").rglob("*") if path.is_file()]


def test_nothing_is_written_through_a_link_that_leads_nowhere(folder: Folder) -> None:
    (folder.path / "starter").mkdir()
    (folder.path / "starter/jobs.yaml").symlink_to("../elsewhere.yaml")
    refused = folder("init", "starter")
    assert refused.code == 2
    assert files(folder.path / "starter") == {"jobs.yaml"}
    assert not (folder.path / "elsewhere.yaml").exists()


def test_what_is_bought_stays_out_of_git_and_the_list_of_it_goes_in(starter: Path, server: FaultServer) -> None:
    bought = Folder(starter.parent / "unused")
    spec = str(starter / "jobs.yaml")
    done = bought("run", spec, "--provider", "octopusx", "--base-url", server.base_url, "--yes", "--json")
    assert done.counts() == {"done": 2}
    assert bought("run", spec, "--limit", "1", "--json").counts() == {"done": 1, "planned": 1}
    made = files(starter / "out")
    assert {"jobs@octopusx/state.db", "jobs@octopusx/results.jsonl", "jobs.local/results.jsonl"} <= made
    git(starter, "init", "--quiet")
    git(starter, "add", "--all")
    assert set(git(starter, "ls-files").split()) == MADE | {"out/jobs@octopusx/results.jsonl"}


IGNORED = ["out/jobs/state.db", "out/jobs/videos/a.mp4", "out/jobs/frames/ab.png", "deep/er/out/jobs/report.html"]
IGNORED += ["out/jobs.local/results.jsonl", "vidu-local-api/tasks.json"]
KEPT = ["out/jobs/results.jsonl", "out/jobs@vidu/results.jsonl", "deep/er/out/jobs/results.jsonl", "prompts/a.txt"]
KEPT += ["frames/a.png", "frames/a.jpg", "frames/out/b/c.jpg", "frames/out/b/c/d.jpg", "frames/x.local/e.png"]


def test_git_ignores_exactly_what_can_be_made_again(starter: Path) -> None:
    """Whatever the user's own excludes say about pictures."""
    (starter.parent / "excluded").write_text("*.jpg\n")
    git(starter, "init", "--quiet")
    for name in (*IGNORED, *KEPT):
        (starter / name).parent.mkdir(parents=True, exist_ok=True)
        (starter / name).write_text("x")
    status = git(starter, "status", "--porcelain=v1", "--untracked-files=all", "--ignored=matching")
    untracked = {line[3:] for line in status.splitlines() if line.startswith("?? ")}
    assert untracked == MADE | set(KEPT)


def line(key: str) -> str:
    made = {"key": key * 64, "name": key, "task_id": key, "sha256": key * 64, "file": f"videos/{key}.mp4", "credits": 6}
    return json.dumps(made) + "\n"


def test_the_lists_of_two_branches_that_both_bought_merge_by_themselves(starter: Path) -> None:
    out = starter / "out/jobs"
    out.mkdir(parents=True)
    git(starter, "init", "--quiet", "--initial-branch", "main")
    (out / ledger.NAME).write_text(line("b"))
    git(starter, "add", "--all")
    git(starter, "commit", "--quiet", "--message", "one")
    git(starter, "checkout", "--quiet", "-b", "other")
    (out / ledger.NAME).write_text(line("a") + line("b"))
    git(starter, "commit", "--quiet", "--all", "--message", "theirs")
    git(starter, "checkout", "--quiet", "main")
    (out / ledger.NAME).write_text(line("0") + line("b"))
    git(starter, "commit", "--quiet", "--all", "--message", "ours")
    git(starter, "merge", "--quiet", "--no-edit", "other")
    assert set(ledger.read(out)) == {"a" * 64, "b" * 64, "0" * 64}


def test_a_starter_s_own_workflow_is_the_example(starter: Path) -> None:
    example = Path(__file__).parents[1] / "examples/github/vidu-run.yml"
    assert (starter / ".github/workflows/vidu-run.yml").read_bytes() == example.read_bytes()


def test_a_starter_may_be_moved_and_still_checks(starter: Path, folder: Folder) -> None:
    moved = folder.path / "elsewhere"
    shutil.move(starter, moved)
    assert folder("check", "elsewhere/jobs.yaml").code == 0
