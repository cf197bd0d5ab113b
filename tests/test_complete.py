"""What a shell offers behind <Tab>, asked the way a shell asks: the command line in the environment."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Folder, environment
from fault_server import FaultServer

COMMAND = [sys.executable, "-m", "vidu_run"]


def asked(folder: Folder, *words: str) -> list[tuple[str, str]]:
    """Kind and value of each offer for the last of these words."""
    line = shlex.join(["vidu-run", *words[:-1]]) + f" {words[-1]}"
    told = {"_VIDU_RUN_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words))}
    done = subprocess.run(
        COMMAND, cwd=folder.path, env=environment(**told), capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    offers = [offer.partition(",") for offer in done.stdout.splitlines() if offer]
    return [(kind, value) for kind, _, value in offers]


def offered(folder: Folder, *words: str) -> list[str]:
    return [value for kind, value in asked(folder, *words) if kind == "plain"]


@pytest.fixture
def bought(folder: Folder, server: FaultServer) -> Folder:
    """A folder with a job in doubt, two tasks at the API, and a job that was never sent."""
    folder.sweep(4)
    server.faults = ["lost-reply"]
    folder.buy(server, "--limit", "1")
    folder.buy(server, "--limit", "2", "--no-wait")
    states = [job["state"] for job in folder("status", "jobs.yaml", "--json").document["jobs"]]
    assert states == ["in_doubt", "submitted", "submitted", "planned"]
    return folder


def test_commands_and_options_are_offered(folder: Folder) -> None:
    assert offered(folder, "re") == ["report", "resolve"]
    assert offered(folder, "run", "jobs.yaml", "--bu") == ["--budget"]
    assert offered(folder, "completion", "") == ["bash", "zsh", "fish"]


def test_a_spec_without_a_command_has_the_options_of_run(folder: Folder) -> None:
    folder.sweep(1)
    assert offered(folder, "jo") == ["jobs.yaml"]
    assert offered(folder, "jobs.yaml", "--lim") == ["--limit"]


@pytest.mark.parametrize(
    "command", ["run", "check", "plan", "status", "fetch", "report", "promote", "resolve", "cancel"]
)
def test_yaml_files_are_offered_where_a_spec_is_meant(folder: Folder, command: str) -> None:
    folder.write("", "jobs.yaml")
    folder.write("", "more.yml")
    folder.write("", "jobs.picks.yaml")
    folder.write("", "notes.txt")
    assert asked(folder, command, "") == [("plain", "jobs.yaml"), ("plain", "more.yml")]
    assert asked(folder, command, "no") == [("file", "no")]


def test_a_spec_in_another_folder_is_offered_with_its_folder(folder: Folder) -> None:
    (folder.path / "more").mkdir()
    folder.write("", "more/jobs.yaml")
    assert offered(folder, "plan", "more/") == ["more/jobs.yaml"]
    assert asked(folder, "plan", "nowhere/") == [("file", "nowhere/")]


def test_providers_and_schemas_are_offered(folder: Folder) -> None:
    folder.sweep(1)
    for command in ("run", "plan", "check"):
        assert offered(folder, command, "jobs.yaml", "--provider", "") == ["local", "octopusx", "vidu", "vidu-cn"]
    assert offered(folder, "schema", "v") == ["vidu", "vidu-cn"]
    assert offered(folder, "schema", "s") == ["spec"]


def test_resolve_is_offered_the_jobs_in_doubt(bought: Folder) -> None:
    assert offered(bought, "resolve", "jobs.yaml", "jo") == ["job-1"]
    assert offered(bought, "resolve", "--state", "out/jobs", "") == ["job-1"]
    assert offered(bought, "resolve", "jobs.yaml", "job-1", "") == []


def test_giving_up_is_offered_tasks_at_the_api_too(bought: Folder) -> None:
    assert offered(bought, "resolve", "--abandon", "jobs.yaml", "jo") == ["job-1", "job-2", "job-3"]


def test_cancel_is_offered_the_jobs_whose_tasks_are_at_the_api(bought: Folder) -> None:
    assert offered(bought, "cancel", "jobs.yaml", "") == ["job-2", "job-3"]
    assert offered(bought, "cancel", "jobs.yaml", "job-2", "") == ["job-3"]


def test_only_is_offered_every_job_of_the_spec_s_state(bought: Folder) -> None:
    assert offered(bought, "run", "jobs.yaml", "--only", "job") == ["job-1", "job-2", "job-3", "job-4"]
    assert offered(bought, "run", "jobs.yaml", "--provider", "local", "--only", "job") == []
    assert offered(bought, "plan", "jobs.yaml", "--out", "out/jobs", "--only", "job-4") == ["job-4"]
    assert offered(bought, "jobs.yaml", "--only", "job-4") == ["job-4"]
    assert offered(bought, "promote", "jobs.yaml", "--only", "job-4") == ["job-4"]


def test_a_name_that_a_shell_would_take_apart_is_not_offered(folder: Folder, server: FaultServer) -> None:
    spec = folder.sweep(2)
    spec.write_text(spec.read_text().replace("name: job-{{ seed }}", 'name: "{{ seed }} job"'))
    folder.buy(server, "--limit", "1", "--no-wait")
    assert folder("status", "jobs.yaml", "--json").document["jobs"][0]["name"] == "1 job"
    assert asked(folder, "run", "jobs.yaml", "--only", "") == []


def test_any_trouble_offers_nothing_and_says_nothing(bought: Folder) -> None:
    state, spec = bought.path / "out/jobs/state.db", bought.path / "jobs.yaml"
    for file, spoilt in [
        (state, b"no state at all, and long" * 9),
        (state, b""),
        (spec, b"version: ["),
        (spec, b"\xff"),
    ]:
        whole = file.read_bytes()
        file.write_bytes(spoilt)
        assert asked(bought, "resolve", "jobs.yaml", "jo") == [], spoilt
        file.write_bytes(whole)
    assert offered(bought, "resolve", "jobs.yaml", "jo") == ["job-1"]
    for file in (state, spec):
        file.unlink()
        assert asked(bought, "run", "jobs.yaml", "--only", "jo") == [], file


def test_a_misspelt_command_is_met_with_silence(folder: Folder) -> None:
    assert asked(folder, "chekc", "") == []


def test_looking_changes_nothing_in_the_folder(bought: Folder) -> None:
    def all_bytes() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in bought.path.rglob("*") if path.is_file()}

    before = all_bytes()
    offered(bought, "resolve", "jobs.yaml", "jo")
    offered(bought, "run", "jobs.yaml", "--only", "jo")
    after = all_bytes()
    beside = {bought.path / "out/jobs" / name for name in ("state.db-shm", "state.db-wal")}
    assert {path: data for path, data in after.items() if path not in beside} == {
        path: data for path, data in before.items() if path not in beside
    }


def test_bash_itself_completes_the_name_of_a_job(bought: Folder) -> None:
    command = bought.path / "vidu-run"
    command.write_text(f'#!/bin/sh\nexec {shlex.join(COMMAND)} "$@"\n', encoding="utf-8")
    command.chmod(0o755)
    script = bought("completion", "bash").out
    line = 'COMP_WORDS=(vidu-run resolve jobs.yaml jo) COMP_CWORD=3; _vidu_run_completion "$0"; echo "${COMPREPLY[@]}"'
    done = subprocess.run(
        ["bash", "-c", f"{script}\n{line}", str(command)],
        cwd=bought.path,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.split() == ["job-1"]


@pytest.mark.parametrize(
    ("shell", "word"), [("zsh", "#compdef vidu-run"), ("fish", "--command vidu-run"), ("", "complete")]
)
def test_every_shell_gets_its_script(folder: Folder, shell: str, word: str) -> None:
    told = folder("completion", *filter(None, [shell]))
    assert told.code == 0
    assert word in told.out
    assert "_VIDU_RUN_COMPLETE" in told.out
    assert folder("completion", "csh").code == 2


def test_what_a_shell_asks_for_stays_out_of_the_start() -> None:
    code = (
        "import sys\nfrom vidu_run.cli import cli\n"
        "try:\n    cli.main(['--help'], standalone_mode=False)\nfinally:\n"
        "    print({'vidu_run.complete', 'vidu_run.folder', 'yaml', 'filelock'} & set(sys.modules))"
    )
    done = subprocess.run([*COMMAND[:1], "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("set()")
