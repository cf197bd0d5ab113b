"""The command line itself: one door, the right exit code, never a traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Folder, environment
from fault_server import FaultServer


def test_a_spec_alone_means_run(folder: Folder) -> None:
    folder.sweep(1)
    refused = folder("jobs.yaml")
    assert refused.code == 2
    assert "Nobody can be asked here" in refused.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nothing.yaml"], "nothing.yaml: cannot be read"),
        (["chekc", "jobs.yaml"], "did you mean check?"),
        (["run"], "Missing argument 'SPEC'"),
        (["run", "jobs.yaml", "--provider", "octopsx"], "did you mean octopusx?"),
        (["run", "jobs.yaml", "--base-url", "http://example.com"], "https only"),
        (["run", "jobs.yaml", "--base-url", "https://user:pw@example.com"], "does not belong into an address"),
        (["run", "jobs.yaml", "--provider", "local", "--base-url", "https://example.com"], "127.0.0.1"),
        (["run", "jobs.yaml", "--base-url", "https://example.com:abc"], "not an http(s) address"),
        (["plan", "jobs.yaml", "--base-url", "https://example.com:99999"], "not an http(s) address"),
        (["plan", "jobs.yaml", "--base-url", "https://[::1"], "not an http(s) address"),
        (["plan", "jobs.yaml", "--base-url", "http://[bad]"], "not an http(s) address"),
        (["run", "jobs.yaml", "--limit", "-1"], "-1"),
        (["run", "jobs.yaml", "--set", "look"], "NAME=VALUE"),
        (["run", "jobs.yaml", "--set", "look=x"], "no such name in vars"),
        (["status", "jobs.yaml"], "nothing has been run here yet"),
        (["status"], "--state DIR"),
        (["fetch", "--state", "nowhere"], "nowhere"),
        (["resolve", "jobs.yaml", "x"], "--task ID, --resubmit, --abandon"),
        (["resolve", "jobs.yaml", "--abandon"], "name the jobs"),
        (["resolve", "jobs.yaml", "x", "--task", "a/../b"], "not a task id"),
        (["schema", "klingon"], "there are spec, prices, picks, octopusx"),
        (["serve", "--port", "99999"], "99999"),
    ],
)
def test_bad_usage_is_one_clear_line_and_exit_2(folder: Folder, words: list[str], said: str) -> None:
    folder.sweep(1)
    result = folder(*words)
    assert result.code == 2, result.err
    assert said in result.err
    assert len(result.err.strip().splitlines()) <= 4
    assert not (folder.path / "out/jobs/state.db").exists()


def test_a_bad_address_is_blamed_on_the_place_it_came_from(folder: Folder) -> None:
    folder.sweep(1)
    refused = folder("plan", "jobs.yaml", VIDU_RUN_BASE_URL="http://example.com")
    assert (refused.code, refused.err.startswith("vidu-run: VIDU_RUN_BASE_URL http://example.com: ")) == (2, True)


@pytest.mark.parametrize("words", [["fetch"], ["cancel", "x"], ["resolve", "x", "--abandon"]])
def test_a_mistyped_folder_is_not_made(folder: Folder, words: list[str]) -> None:
    command, *rest = words
    refused = folder(command, "--state", "out/typo", *rest)
    assert (refused.code, "nothing has been run here yet" in refused.err) == (2, True)
    assert not (folder.path / "out").exists()


def test_a_spec_whose_name_is_no_text_is_refused(folder: Folder) -> None:
    name = os.fsdecode(b"jobs\xff.yaml")
    folder.sweep(1).rename(folder.path / name)
    refused = folder("check", name)
    assert (refused.code, "has a name that is not UTF-8 text" in refused.err) == (2, True)


@pytest.mark.parametrize(
    "words", [["swee.yaml"], ["sweep"], ["sweeps.yml"], ["plan", "swep.yaml"], ["status", "swee.yaml"]]
)
def test_a_misspelt_spec_is_met_with_the_one_that_is_there(folder: Folder, words: list[str]) -> None:
    folder.sweep(1).rename(folder.path / "sweep.yaml")
    refused = folder(*words)
    assert (refused.code, refused.out) == (2, "")
    assert refused.err == f"{words[-1]}: cannot be read (No such file or directory); did you mean sweep.yaml?\n"


def test_a_misspelt_spec_in_another_folder_is_looked_for_there(folder: Folder) -> None:
    (folder.path / "specs").mkdir()
    folder.sweep(1).rename(folder.path / "specs/sweep.yaml")
    assert folder("check", "specs/sweeep.yaml").err.splitlines()[0].endswith("did you mean specs/sweep.yaml?")
    refused = folder("check", "nowhere/sweep.yaml")
    assert (refused.code, "did you mean" in refused.err) == (2, False)


def test_help_is_a_word_too(folder: Folder) -> None:
    assert folder("help") == folder("--help")
    assert folder("help", "plan") == folder("plan", "--help")
    folder.sweep(1).rename(folder.path / "help")
    assert "Nobody can be asked here" in folder("help").err


def test_a_spec_with_problems_shows_all_of_them_in_gcc_form_and_sends_nothing(
    folder: Folder, server: FaultServer
) -> None:
    spec = folder.sweep(2, duration=12, fps=30)
    result = folder.buy(server)
    assert result.code == 2
    lines = result.err.strip().splitlines()
    assert all(line.startswith("jobs.yaml:") for line in lines), lines
    assert any("'fps'" in line for line in lines)
    assert not server.requests
    spec.write_text(spec.read_text().replace("      fps: 30\n", ""))
    again = folder.buy(server)
    assert "duration 12 is not allowed for viduq2-turbo (1 to 10); job job-1 (and 1 more like it)" in again.err
    assert again.err.startswith("jobs.yaml:11:")


def test_check_tells_as_json_and_as_github_annotations(folder: Folder) -> None:
    folder.sweep(1, duration=12)
    told = folder("check", "jobs.yaml", "--json")
    assert told.code == 2
    problem = told.document["problems"][0]
    assert (problem["file"], problem["level"], problem["job"]) == ("jobs.yaml", "error", "job-1")
    annotated = folder("check", "jobs.yaml", GITHUB_ACTIONS="true")
    assert annotated.out.startswith("::error file=jobs.yaml,line=11,col=")
    folder.sweep(3)
    sound = folder("check", "jobs.yaml", "--json")
    assert (sound.code, sound.document) == (0, {"problems": [], "errors": 0, "jobs": 3})


def test_check_takes_several_specs(folder: Folder) -> None:
    first = folder.sweep(1)
    (folder.path / "two.yaml").write_text(first.read_text().replace("duration: 1\n", "duration: 77\n"))
    told = folder("check", "jobs.yaml", "two.yaml")
    assert told.code == 2
    assert "two.yaml:" in told.err
    assert "2 specs, 1 problem" in told.err


def test_plan_sends_nothing_writes_nothing_and_prices_every_job(folder: Folder, server: FaultServer) -> None:
    folder.sweep(3)
    told = folder("plan", "jobs.yaml", "--base-url", server.base_url, "--json")
    assert told.code == 0
    assert [job["step"] for job in told.document["jobs"]] == ["submit"] * 3
    assert set(told.document["jobs"][0]) == {"name", "key", "step", "reason", "credits"}
    assert told.document["totals"]["credits"] == 18
    assert not server.requests
    assert not (folder.path / "out").exists()
    assert "3 jobs: 3 to submit · 18 credits ($0.09)" in folder("plan", "jobs.yaml").out
    assert "| submit | job-1 | 6 | new |" in folder("plan", "jobs.yaml", "--markdown").out


def test_plan_knows_what_is_done_in_doubt_and_failed(folder: Folder, server: FaultServer) -> None:
    folder.sweep(3, extra="concurrency: 1\n")
    server.faults = ["ok", "lost-reply", "400 FieldInvalid"]
    folder.buy(server, "--concurrency", "3")
    steps = {job["name"]: job["step"] for job in folder("plan", "jobs.yaml", "--json").document["jobs"]}
    assert sorted(steps.values()) == ["needs your word", "skip", "skip"]


def test_run_json_ends_with_the_status_and_every_reason(folder: Folder, server: FaultServer) -> None:
    folder.sweep(2, extra="concurrency: 1\n")
    server.faults = ["lost-reply", "400 FieldInvalid"]
    done = folder.buy(server, "--concurrency", "2")
    assert done.code == 4
    assert done.document["exit"] == 4
    assert {reason["code"] for reason in done.document["reasons"]} == {4, 1}
    status = folder("status", "jobs.yaml", "--json").document
    assert {name: done.document[name] for name in status} == status


def test_a_bug_is_two_lines_a_file_to_send_and_exit_70(folder: Folder) -> None:
    folder.sweep(1)
    code = (
        "import vidu_run.preview as preview, vidu_run.cli as cli\npreview.plan = None\ncli.main(['plan', 'jobs.yaml'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder.path, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 70
    assert "Traceback" not in done.stderr
    report = Path(done.stderr.strip().split()[-1])
    assert "TypeError" in report.read_text()
    report.unlink()


def test_a_reader_that_goes_away_ends_it_quietly(folder: Folder) -> None:
    folder.sweep(300)
    done = subprocess.run(
        f"{sys.executable} -m vidu_run plan jobs.yaml --markdown | head -1",
        shell=True,
        cwd=folder.path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.startswith("**300 jobs")
    assert done.stderr == ""


def test_control_characters_of_a_server_do_not_reach_the_terminal(folder: Folder, server: FaultServer) -> None:
    folder.sweep(1)
    server.faults = ["400 Bad\x1b[31m\u202ecode"]
    refused = folder.buy(server)
    assert refused.code in (1, 4)
    assert "\x1b" not in refused.err
    assert "\u202e" not in refused.err


def test_help_starts_without_the_heavy_libraries() -> None:
    code = (
        "import sys\n"
        "from vidu_run.cli import cli\n"
        "try:\n    cli.main(['--help'], standalone_mode=False)\nfinally:\n"
        "    print({'aiohttp', 'av', 'numpy', 'jsonschema', 'jinja2', 'PIL', 'rich', 'sqlite3'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("set()")


@pytest.mark.parametrize("name", ["spec", "octopusx", "vidu", "vidu-cn"])
def test_schema_prints_json(folder: Folder, name: str) -> None:
    assert json.loads(folder("schema", name).out)["$schema"].startswith("https://json-schema.org")


def test_init_makes_a_folder_that_rehearses_and_overwrites_nothing(folder: Folder) -> None:
    assert folder("init", "starter").code == 0
    made = {p.relative_to(folder.path / "starter").as_posix() for p in (folder.path / "starter").rglob("*.*")}
    assert {"jobs.yaml", "README.md", ".gitignore", "spec.schema.json"} <= made
    assert folder("check", "starter/jobs.yaml").code == 0
    again = folder("init", "starter")
    assert again.code == 2
    assert "nothing was written" in again.err
    done = folder("run", "starter/jobs.yaml", "--limit", "1", "--json")
    assert done.code == 0, done.err
    assert done.counts() == {"done": 1, "planned": 1}


def test_an_answer_is_given_in_whatever_letters_standard_output_has(folder: Folder) -> None:
    """And JSON is UTF-8 wherever it goes."""
    path = folder.sweep(1)
    path.write_text(path.read_text().replace("job-", "影-"), encoding="utf-8")

    told = folder("plan", "jobs.yaml", PYTHONIOENCODING="ascii")
    document = folder("plan", "jobs.yaml", "--json", PYTHONIOENCODING="ascii").document

    assert (told.code, "\\u5f71" in told.out) == (0, True), told.err
    assert document["jobs"][0]["name"] == "影-1"
