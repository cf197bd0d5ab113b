"""What a repository of specs is given: the workflow does in a shell what it says, and names only what exists."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import Folder, environment
from fault_server import FaultServer

from vidu_run.cli import cli

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples/github/vidu-run.yml"
STARTER = ROOT / "vidu_run/starter/files"
TEXT = EXAMPLE.read_text(encoding="utf-8")
WORKFLOW: dict[Any, Any] = yaml.safe_load(TEXT)
CHECK, RUN = WORKFLOW["jobs"]["check"], WORKFLOW["jobs"]["run"]
STEPS = [step for job in (CHECK, RUN) for step in job["steps"]]
(HOOK,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))


def script(beginning: str) -> str:
    (found,) = [step["run"] for step in STEPS if step.get("name", "").startswith(beginning)]
    return str(found)


# Every command line that is written down


VALUES = {"SPEC": "jobs.yaml", "SPECS": "jobs.yaml", "spec": "jobs.yaml", "BUDGET": "50", "RESOLVE": "job-1 --abandon"}
FENCE = re.compile(r"^```(?:sh|console|yaml)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def commands(text: str) -> Iterator[str]:
    for line in text.splitlines():
        if found := re.match(r"(?:- )?(?:run: )?(vidu-run .+)$", line.strip()):
            yield found[1].partition(" || ")[0].partition("  #")[0].strip()


def written() -> list[Any]:
    pages = {EXAMPLE.name: TEXT}
    for page in (STARTER / "README.md", ROOT / "docs/repository.md"):
        pages[page.name] = "\n".join(FENCE.findall(page.read_text(encoding="utf-8")))
    found = [pytest.param(line, id=f"{name}: {line}") for name, text in pages.items() for line in commands(text)]
    assert len(found) > 12
    return found


@pytest.mark.parametrize("line", written())
def test_a_command_line_that_is_written_down_is_one(line: str) -> None:
    words = shlex.split(re.sub(r"\$(\w+)", lambda name: VALUES[name[1]], line.partition(" > ")[0]))[1:]
    name, rest = (words[0], words[1:]) if words[0] in cli.commands else ("run", words)
    assert cli.commands[name].make_context(name, rest).params


# The workflow


def test_the_workflow_of_a_starter_is_the_example() -> None:
    assert (STARTER / "workflow.yml").read_text(encoding="utf-8") == TEXT


def test_only_github_s_own_actions_are_used_each_by_its_major_version() -> None:
    used = [step["uses"] for step in STEPS if "uses" in step]
    assert used
    assert [name for name in used if not re.fullmatch(r"actions/[\w/-]+@v\d+", name)] == []


def test_every_permission_is_given_by_name_and_as_small_as_it_can_be() -> None:
    assert WORKFLOW["permissions"] == {}
    assert CHECK["permissions"] == {"contents": "read", "pull-requests": "write"}
    assert RUN["permissions"] == {"contents": "write"}


def test_a_pull_request_sees_no_key_and_buys_nothing() -> None:
    assert set(WORKFLOW[True]) == {"pull_request", "workflow_dispatch"}
    assert CHECK["if"] == "github.event_name == 'pull_request'"
    assert "secrets." not in yaml.safe_dump(CHECK)
    lines = [line for step in CHECK["steps"] for line in commands(step.get("run", ""))]
    assert {shlex.split(line)[1] for line in lines} == {"check", "plan"}


def test_only_the_step_that_buys_sees_the_keys() -> None:
    holders = [step for step in RUN["steps"] if "secrets." in yaml.safe_dump(step)]
    assert [step["run"] for step in holders] == [script("Buy")]
    assert "github.event_name == 'workflow_dispatch'" in RUN["if"]
    assert RUN["environment"]


def test_what_a_person_typed_reaches_a_shell_only_as_a_variable() -> None:
    assert [step["run"] for step in STEPS if "${{" in step.get("run", "")] == []


def test_two_runs_never_share_a_state_and_none_is_cut_off() -> None:
    assert RUN["concurrency"] == {"group": "vidu-run", "cancel-in-progress": False}
    assert "github.event.repository.default_branch" in RUN["if"]
    checkout = next(step for step in RUN["steps"] if step.get("uses", "").startswith("actions/checkout"))
    assert checkout["with"]["ref"] == "${{ github.ref }}"


def test_the_state_is_kept_and_the_newest_one_comes_back() -> None:
    (restored,) = [step["with"] for step in RUN["steps"] if "cache/restore" in step.get("uses", "")]
    (saved,) = [step["with"] for step in RUN["steps"] if "cache/save" in step.get("uses", "")]
    assert {"path": restored["path"], "key": restored["key"]} == saved
    assert "github.run_id" in saved["key"]
    assert "github.run_attempt" in saved["key"]
    assert saved["key"].startswith(restored["restore-keys"])


def test_what_was_bought_is_kept_however_the_buying_ended() -> None:
    names = [step.get("name", step.get("uses", "")) for step in RUN["steps"]]
    after = RUN["steps"][names.index("Buy, wait, download") + 1 :]
    assert len(after) == 3
    assert [step.get("if") for step in after] == ["always()"] * 3
    buying = next(step for step in RUN["steps"] if step.get("name") == "Buy, wait, download")
    assert buying["timeout-minutes"] <= RUN["timeout-minutes"] - 20


# Its scripts, in a shell


class Clone:
    """A clone of a repository of specs, its remote beside it, and the scripts of the workflow run in it."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.remote = folder.path.parent / "remote.git"
        binaries = folder.path.parent / "bin"
        binaries.mkdir()
        command = binaries / "vidu-run"
        command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m vidu_run "$@"\n', encoding="utf-8")
        command.chmod(0o755)
        who = {f"GIT_{role}_{what}": "t@example.com" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        self.environment = environment(
            PATH=f"{binaries}:/usr/bin:/bin:/usr/local/bin",
            HOME=str(folder.path.parent),
            GITHUB_STEP_SUMMARY=str(folder.path.parent / "summary.md"),
            GITHUB_RUN_NUMBER="7",
            SPEC="jobs.yaml",
            SPECS="jobs.yaml",
            BUDGET="50",
            BRANCH="main",
            PULL_REQUEST="1",
            **who,
        )
        for name in ("gitignore.txt", "gitattributes.txt"):
            (folder.path / f".{name.removesuffix('.txt')}").write_text((STARTER / name).read_text())
        self.do(f"git init --quiet --bare --initial-branch main {self.remote}")
        self.do("git init --quiet --initial-branch main && git add --all && git commit --quiet --message first")
        self.do(f"git remote add origin {self.remote} && git push --quiet origin main")

    def run(self, text: str, where: Path | None = None, **more: str) -> subprocess.CompletedProcess[str]:
        """As GitHub runs a script: bash -e."""
        return subprocess.run(
            ["bash", "-e", "-c", text],
            cwd=where or self.folder.path,
            env=self.environment | more,
            capture_output=True,
            text=True,
            check=False,
            timeout=90,
        )

    def do(self, text: str, where: Path | None = None) -> str:
        done = self.run(text, where)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def pushed(self) -> set[str]:
        return set(self.do(f"git --git-dir {self.remote} ls-tree -r --name-only main").split())

    def ledger(self) -> list[str]:
        return self.do(f"git --git-dir {self.remote} show main:out/jobs/results.jsonl").splitlines()


@pytest.fixture
def clone(folder: Folder) -> Clone:
    folder.sweep(3)
    return Clone(folder)


def test_the_script_buys_within_the_budget_and_what_it_delivered_is_committed(
    clone: Clone, server: FaultServer
) -> None:
    before = clone.pushed()
    done = clone.run(script("Buy"), VIDU_RUN_BASE_URL=server.base_url)
    assert done.returncode == 0, done.stderr
    clone.do(script("Commit"))
    assert clone.pushed() == before | {"out/jobs/results.jsonl"}
    assert len(clone.ledger()) == 3
    assert "What was delivered by run 7" in clone.do(f"git --git-dir {clone.remote} log -1 --format=%s main")


def test_a_plan_above_the_budget_buys_nothing_and_says_so(clone: Clone, server: FaultServer) -> None:
    done = clone.run(script("Buy"), VIDU_RUN_BASE_URL=server.base_url, BUDGET="5")
    assert done.returncode == 5
    assert "::error::The plan is above the budget" in done.stdout
    assert not server.accepted


def test_an_incomplete_run_says_that_nothing_is_lost_and_keeps_what_was_delivered(
    clone: Clone, server: FaultServer
) -> None:
    spec = clone.folder.path / "jobs.yaml"
    spec.write_text(spec.read_text().replace("task_deadline: 20", "task_deadline: 1"))
    server.task_seconds = 10_000
    done = clone.run(script("Buy"), VIDU_RUN_BASE_URL=server.base_url)
    assert done.returncode == 3
    assert "::warning::Not everything is there yet" in done.stdout
    server.task_seconds = 0
    again = clone.run(script("Buy"), VIDU_RUN_BASE_URL=server.base_url)
    assert again.returncode == 0
    assert len(server.accepted) == 3


def test_a_job_in_doubt_is_resolved_by_the_next_run_s_word(clone: Clone, server: FaultServer) -> None:
    server.faults = ["lost-reply"]
    done = clone.run(script("Buy"), VIDU_RUN_BASE_URL=server.base_url)
    assert done.returncode == 4
    assert "::error::A job needs your word" in done.stdout
    (clone.folder.path / "job-x").write_text("a file that a * must not find")
    clone.do(f"RESOLVE='job-* --abandon'\n{script('Your word')}")
    assert clone.folder("status", "jobs.yaml", "--json").counts() == {"done": 2, "abandoned": 1}


def test_a_run_that_delivered_nothing_commits_nothing(clone: Clone) -> None:
    before = clone.do(f"git --git-dir {clone.remote} rev-parse main")
    clone.do(script("Commit"))
    (clone.folder.path / "out/jobs.local").mkdir(parents=True)
    (clone.folder.path / "out/jobs.local/results.jsonl").write_text("")
    clone.do(script("Commit"))
    assert clone.do(f"git --git-dir {clone.remote} rev-parse main") == before


def test_what_others_pushed_meanwhile_stays(clone: Clone, server: FaultServer) -> None:
    other = clone.folder.path.parent / "other"
    clone.do(f"git clone --quiet {clone.remote} {other}")
    (other / "out/jobs").mkdir(parents=True)
    theirs = '{"key": "' + "a" * 64 + '", "file": "videos/theirs.mp4"}'
    (other / "out/jobs/results.jsonl").write_text(theirs + "\n")
    clone.do("git add --all && git commit --quiet --message theirs && git push --quiet origin main", other)
    clone.run(script("Buy"), VIDU_RUN_BASE_URL=server.base_url)
    clone.do(script("Commit"))
    assert len(clone.ledger()) == 4
    assert theirs in clone.ledger()


def test_an_older_list_out_of_the_cache_does_not_replace_the_branch_s(clone: Clone, server: FaultServer) -> None:
    clone.run(script("Buy"), VIDU_RUN_BASE_URL=server.base_url)
    clone.do(script("Commit"))
    listed = clone.folder.path / "out/jobs/results.jsonl"
    whole = listed.read_text()
    listed.write_text(whole.splitlines()[0] + "\n")
    clone.do(script("The branch's results.jsonl"))
    assert listed.read_text() == whole


def test_a_pull_request_is_told_what_its_own_change_costs(clone: Clone) -> None:
    """The folder is the merge, and its first parent what it is merged into; no comment can be written here."""
    clone.do("git checkout --quiet -b change")
    spec = clone.folder.path / "jobs.yaml"
    spec.write_text(spec.read_text().replace("[1, 3]", "[1, 4]"))
    clone.do("git commit --quiet --all --message more")
    clone.do("git checkout --quiet main && git merge --quiet --no-ff --message merge change")
    told = clone.do(script("What it would do"))
    assert "::notice::No comment could be written" in told
    summary = (clone.folder.path.parent / "summary.md").read_text()
    assert summary.startswith("### jobs.yaml\n")
    assert "job-4" in summary


def test_a_spec_that_the_base_does_not_have_is_planned_alone(clone: Clone) -> None:
    clone.do("git mv jobs.yaml more.yaml && git commit --quiet --message renamed")
    clone.do(script("What it would do").replace("$SPECS", "more.yaml"))
    assert "3 jobs: 3 to submit" in (clone.folder.path.parent / "summary.md").read_text()


# The hook of pre-commit


def test_the_hook_checks_every_spec_it_is_handed(folder: Folder) -> None:
    folder.sweep(1)
    folder.write("version: 2\njobs: []\n", "deep-jobs.yaml")
    name, *words = shlex.split(HOOK["entry"])
    assert (name, HOOK["language"], HOOK["types"]) == ("vidu-run", "python", ["yaml"])
    assert folder(*words, "jobs.yaml").code == 0
    refused = folder(*words, "jobs.yaml", "deep-jobs.yaml")
    assert refused.code == 2
    assert "deep-jobs.yaml:1:" in refused.err


def test_the_hook_takes_a_spec_by_its_usual_name_and_no_other_yaml() -> None:
    names = ["jobs.yaml", "jobs.yml", "shots/autumn/jobs.yaml", "mkdocs.yaml", "jobs.yaml.bak", "myjobs.yaml"]
    assert [name for name in names if re.search(HOOK["files"], name)] == names[:3]
