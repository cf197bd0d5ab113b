"""`plan`: what a run would do and why, what it would cost, how long it may take, and what a change of the spec buys."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from conftest import Folder, Result
from fault_server import FaultServer
from PIL import Image


def reasons(result: Result) -> dict[str, str]:
    return {job["name"]: job["reason"] for job in result.document["jobs"]}


def plan(folder: Folder, *words: str, **more: str) -> Result:
    done = folder("plan", "jobs.yaml", *words, **more)
    assert done.code == 0, done.err
    return done


def test_a_first_plan_is_all_new_and_priced_in_credits_and_money(folder: Folder) -> None:
    folder.sweep(3, duration=5, resolution="720p")
    document = plan(folder, "--json").document
    assert {job["reason"] for job in document["jobs"]} == {"new"}
    assert document["totals"]["credits"] == 120
    assert document["totals"]["usd"] == 0.6
    told = plan(folder).out
    assert "3 jobs: 3 to submit · 120 credits ($0.60)" in told
    assert "off-peak it would be 60 credits ($0.30), within 48 h" in told
    assert "an estimate from Vidu's list price; octopusx reports no charge" in told


def test_a_provider_that_tells_its_charge_is_not_spoken_of_as_a_guess(folder: Folder) -> None:
    folder.sweep(1)
    assert "reports no charge" not in plan(folder, "--provider", "vidu").out
    assert "reports no charge" not in plan(folder, "--provider", "local").out


def test_a_rehearsal_spends_nothing_and_says_what_it_would_cost(folder: Folder) -> None:
    folder.sweep(2, duration=5, resolution="720p")
    said = "2 jobs: 2 to submit · free · bought it would cost 80 credits ($0.40)"
    assert said in plan(folder, "--provider", "local").out
    assert said in plan(folder, "--provider", "local", "--markdown").out
    assert plan(folder, "--provider", "local", "--json").document["totals"]["credits"] == 80
    ran = folder("jobs.yaml", "--provider", "local", "--limit", "1")
    assert "1 to submit · free · bought it would cost 40 credits ($0.20)" in ran.err


def test_a_plan_for_another_host_than_the_jobs_went_to_says_that_a_run_would_stop(
    folder: Folder, server: FaultServer
) -> None:
    folder.sweep(1)
    folder.buy(server)
    assert f"give --base-url {server.base_url}" in plan(folder).err
    assert "--base-url" not in plan(folder, "--base-url", server.base_url).err
    assert folder("run", "jobs.yaml", "--yes").code == 2


def test_wide_letters_leave_the_columns_where_they_are(folder: Folder) -> None:
    """`港` and the full-width `Ａ` take two columns of a terminal, the line above `x̄` none."""
    spec = folder.sweep(prompt="{{ shot }}", duration=5, resolution="720p")
    text = spec.read_text().replace("{seed: {range: [1, 3]}}", "{shot: [港の夜, Ａ, x\u0304, dusk]}")
    spec.write_text(text.replace("job-{{ seed }}", '"{{ shot }}"').replace('"{{ seed }}"', "1"))
    rows = plan(folder).out.splitlines()[:4]
    assert rows == [
        "submit           港の夜        40  new",
        "submit           Ａ            40  new",
        "submit           x\u0304             40  new",
        "submit           dusk          40  new",
    ]
    folder("jobs.yaml", "--provider", "local", "--yes")
    told = folder("status", "jobs.yaml", "--provider", "local").out.splitlines()
    assert told[-4:] == [
        "  done       港の夜  videos/港の夜.mp4",
        "  done       Ａ      videos/Ａ.mp4",
        "  done       x\u0304       videos/x\u0304.mp4",
        "  done       dusk    videos/dusk.mp4",
    ]


def test_of_several_specs_each_plan_is_named(folder: Folder) -> None:
    folder.sweep(1)
    (folder.path / "b.yaml").write_text((folder.path / "jobs.yaml").read_text())
    both = ("plan", "jobs.yaml", "b.yaml")
    assert [line for line in folder(*both).out.splitlines() if line.endswith(":")] == ["jobs.yaml:", "b.yaml:"]
    assert [line for line in folder(*both, "--markdown").out.splitlines() if line.startswith("#")] == [
        "### jobs.yaml",
        "### b.yaml",
    ]
    assert [told["spec"] for told in json.loads(folder(*both, "--json").out)] == ["jobs.yaml", "b.yaml"]
    assert "jobs.yaml:" not in folder("plan", "jobs.yaml").out


def test_each_job_says_why_its_step_is_taken(folder: Folder, server: FaultServer) -> None:
    spec = folder.sweep(6, extra="concurrency: 1\n")
    server.faults = ["ok", "400 FieldInvalid", "lost-reply", "ok", "ok"]
    spec.write_text(spec.read_text().replace("task_deadline: 20", "task_deadline: 0.5"))
    server.failing = {"t-4"}
    folder.buy(server, "--limit", "5")
    (folder.path / "out/jobs/videos/job-5.mp4").unlink()
    found = reasons(plan(folder, "--json"))
    assert found["job-1"] == "done"
    assert found["job-2"].startswith("rejected before: HTTP 400")
    assert found["job-3"].startswith("in doubt: ")
    assert found["job-4"].startswith("failed before: ")
    assert found["job-5"] == "its file is missing or changed"
    assert found["job-6"] == "new"
    assert reasons(plan(folder, "--json", "--retry-failed"))["job-4"].startswith("failed before: ")


def test_an_edited_job_says_which_field_changed(folder: Folder, server: FaultServer) -> None:
    spec = folder.sweep(1, duration=5)
    folder.buy(server)
    text = spec.read_text()
    spec.write_text(text.replace("duration: 5", "duration: 8"))
    assert reasons(plan(folder, "--json")) == {"job-1": "changed: duration 5→8"}
    spec.write_text(
        text.replace("duration: 5", "duration: 8").replace("540p", "720p").replace('"a harbour"', '"a ridge"')
    )
    assert reasons(plan(folder, "--json")) == {
        "job-1": "changed: duration 5→8, resolution 540p→720p, prompt a harbour→a ridge"
    }
    spec.write_text(text.replace("a harbour", "x" * 200))
    assert reasons(plan(folder, "--json")) == {"job-1": "changed: prompt"}
    spec.write_text(text.replace("      duration: 5\n", ""))
    assert reasons(plan(folder, "--json")) == {"job-1": "changed: duration 5→–"}


def test_a_frame_whose_bytes_changed_is_named(folder: Folder, server: FaultServer) -> None:
    spec = folder.sweep(1)
    folder.buy(server)
    Image.new("RGB", (96, 54), "red").save(folder.path / "frames/a.png")
    assert reasons(plan(folder, "--json")) == {"job-1": "changed: bytes of frames/a.png"}
    folder.frame("c.png", "blue")
    spec.write_text(spec.read_text().replace("frames/b.png", "frames/c.png"))
    assert reasons(plan(folder, "--json")) == {
        "job-1": "changed: bytes of frames/a.png, last frame frames/b.png→frames/c.png"
    }


def test_a_delivery_into_another_copy_is_done_elsewhere(folder: Folder, server: FaultServer) -> None:
    folder.sweep(1)
    folder.buy(server)
    out = folder.path / "out/jobs"
    for file in [*out.glob("state.db*"), *(out / "videos").glob("*")]:
        file.unlink()
    assert reasons(plan(folder, "--json", "--base-url", server.base_url)) == {"job-1": "done elsewhere"}


def test_the_time_is_reckoned_from_clips_of_the_past(folder: Folder, server: FaultServer) -> None:
    spec = folder.sweep(2)
    assert plan(folder, "--json").document["totals"]["seconds"] is None
    server.task_seconds = 1.0
    folder.buy(server)
    spec.write_text(spec.read_text().replace("[1, 2]", "[1, 10]"))
    seconds = plan(folder, "--json", "--concurrency", "2").document["totals"]["seconds"]
    assert 4 <= seconds <= 12
    assert plan(folder, "--json", "--concurrency", "8").document["totals"]["seconds"] < seconds
    assert re.search(r"about \d+ s: clips have taken \d+ s here", plan(folder).out)


def test_clips_that_were_not_made_tell_nothing_of_how_long_one_takes(folder: Folder, server: FaultServer) -> None:
    folder.sweep(2)
    server.failing = {"t-1", "t-2"}
    server.task_seconds = 1.2
    assert folder.buy(server).counts() == {"failed": 2}
    again = plan(folder, "--retry-failed").out
    assert "2 to submit" in again
    assert "clips have taken" not in again


def test_a_plan_sends_nothing_and_writes_nothing(folder: Folder) -> None:
    folder.sweep(2)
    plan(folder, "--base-url", "http://127.0.0.1:9")
    assert not (folder.path / "out").exists()


def test_a_name_that_means_no_job_is_told_by_plan_and_run_alike(folder: Folder, server: FaultServer) -> None:
    folder.sweep(2)
    said = "--only: warning: no job of jobs.yaml is called 'shot-*'; the first is 'job-1'"
    assert said in plan(folder, "--only", "shot-*").err.splitlines()
    ran = folder.buy(server, "--only", "shot-*")
    assert (ran.code, server.ledger) == (0, [])
    assert said in ran.err.splitlines()
    assert "no job" not in plan(folder, "--only", "job-*", "--limit", "0").err


def test_the_balance_is_asked_for_on_request(folder: Folder, server: FaultServer) -> None:
    folder.sweep(1)
    server.account = {
        "remains": [{"type": "metered", "credit_remain": 1234, "concurrency_limit": 5}, {"credit_remain": 6}]
    }
    words = ("--provider", "vidu", "--base-url", server.base_url, "--balance")
    assert "the account has 1,240 credits left, 5 tasks at once" in plan(folder, *words).out
    assert plan(folder, *words, "--json").document["balance"] == {"credits": 1240, "concurrency": 5}
    assert not server.ledger
    refused = folder("plan", "jobs.yaml", "--balance")
    assert refused.code == 2
    assert "octopusx tells no balance" in refused.err


# Against another version


@pytest.fixture
def versions(folder: Folder) -> Folder:
    """`base.yaml` with jobs 1 to 10, `jobs.yaml` with 3 to 12, of which job 3 is longer."""
    spec = folder.sweep(10, duration=5, resolution="720p")
    folder.write(spec.read_text(), "base.yaml")
    text = spec.read_text().replace("range: [1, 10]", "range: [3, 12]")
    spec.write_text(text.replace("duration: 5", 'duration: "{{ 8 if seed == 3 else 5 }}"'))
    return folder


def test_a_change_says_what_it_buys(versions: Folder) -> None:
    told = plan(versions, "--against", "base.yaml").out
    assert told.splitlines()[-1] == "1 changed, 2 new, 2 gone, 7 the same: this change spends 150 credits ($0.75)"
    assert re.search(r"^changed +job-3 +70  duration 5→8$", told, re.MULTILINE)
    assert re.search(r"^new +job-11 +40$", told, re.MULTILINE)
    assert re.search(r"^gone +job-1$", told, re.MULTILINE)
    assert not (versions.path / "out").exists()


def test_a_change_is_told_to_scripts(versions: Folder) -> None:
    document = plan(versions, "--against", "base.yaml", "--json").document
    counts = {"new": 3, "gone": 3, "same": 7, "bought": 0, "unpriced": 0}
    assert document["totals"] == {**counts, "credits": 150, "usd": 0.75}
    assert [(job["name"], job["change"], job["credits"]) for job in document["jobs"]] == [
        ("job-3", "changed", 70),
        ("job-11", "new", 40),
        ("job-12", "new", 40),
        ("job-1", "gone", None),
        ("job-2", "gone", None),
    ]


def test_a_change_is_a_comment_for_a_pull_request(versions: Folder) -> None:
    comment = plan(versions, "--against", "base.yaml", "--markdown").out
    assert comment.startswith(
        "**1 changed, 2 new, 2 gone, 7 the same: this change spends 150 credits ($0.75)**\n\n| change | job |"
    )
    assert "| changed | job-3 | 70 | duration 5→8 |" in comment


@pytest.mark.parametrize("kept", ["state.db", "results.jsonl"])
def test_a_change_spends_nothing_on_what_is_bought_already(versions: Folder, server: FaultServer, kept: str) -> None:
    versions.buy(server, "--only", "job-11")
    for file in (versions.path / "out/jobs").iterdir():
        if file.is_file() and not file.name.startswith(kept):
            file.unlink()

    words = ("--against", "base.yaml", "--base-url", server.base_url)
    told, document = plan(versions, *words).out, plan(versions, *words, "--json").document

    assert re.search(r"^new +job-11 +bought before$", told, re.MULTILINE)
    assert told.splitlines()[-1] == (
        "1 changed, 2 new, 2 gone, 7 the same: this change spends 110 credits ($0.55); 1 bought before"
    )
    counts = {"new": 3, "gone": 3, "same": 7, "bought": 1, "unpriced": 0}
    assert document["totals"] == {**counts, "credits": 110, "usd": 0.55}
    assert [(job["name"], job["credits"]) for job in document["jobs"] if job["bought"]] == [("job-11", 0)]
    assert "| new | job-11 |  | bought before |" in plan(versions, *words, "--markdown").out


def test_a_change_that_buys_nothing_says_so(folder: Folder) -> None:
    spec = folder.sweep(3)
    (folder.path / "old").mkdir()
    folder.write("# a comment more\n" + spec.read_text(), "base.yaml")
    told = plan(folder, "--against", "base.yaml").out
    assert told == "0 new, 0 gone, 3 the same: this change spends nothing\n"


def test_the_other_version_is_read_with_its_own_frames(folder: Folder) -> None:
    folder.sweep(2)
    other = Folder(folder.path / "base")
    other.sweep(2)
    Image.new("RGB", (96, 54), "red").save(other.path / "frames/a.png")
    told = plan(folder, "--against", "base/jobs.yaml").out
    assert "changed  job-1         6  bytes of frames/a.png" in told


def test_markdown_is_bounded_and_no_name_breaks_out_of_its_cell(folder: Folder) -> None:
    folder.sweep(3)
    text = (folder.path / "jobs.yaml").read_text()
    (folder.path / "jobs.yaml").write_text(text.replace("job-{{ seed }}", "'a`b [x](y) _{{ seed }}_ @you #1'"))
    assert "| a\\`b \\[x\\](y) \\_1\\_ \\@you \\#1 |" in plan(folder, "--markdown").out
    folder.sweep(900)
    comment = plan(folder, "--markdown").out
    assert len(comment) < 65_536
    assert "… and 700 more" in comment


# Prices of the user's own


def own_prices(folder: Folder, document: Any) -> Path:
    return folder.write(json.dumps(document), "prices.json")


ROW = {"model": "viduq2-turbo", "resolution": "540p", "from": 1, "to": 10, "credits": 3, "each": 1}


def test_the_user_s_own_prices_stand_in_place_of_the_list_s(folder: Folder) -> None:
    folder.sweep(2, duration=5)
    path = own_prices(folder, {"octopusx": {"credit": {"usd": "0.1"}, "rows": [ROW]}})
    told = plan(folder, VIDU_RUN_PRICES=str(path))
    assert "2 to submit · 14 credits ($1.40)" in told.out
    assert f"an estimate from your prices in {path}" in told.out
    assert "28 credits ($0.14)" in plan(folder, "--provider", "vidu", VIDU_RUN_PRICES=str(path)).out
    config = folder.path / "config/vidu-run"
    config.mkdir(parents=True)
    path.rename(config / "prices.json")
    assert "14 credits ($1.40)" in plan(folder, XDG_CONFIG_HOME=str(folder.path / "config")).out


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"octopusx": {"rows": [{**ROW, "credits": "3"}]}}, "octopusx.rows.0.credits: '3' is not of type 'integer'"),
        ({"octopus": {}}, "'octopus' is not one of"),
        ({"octopusx": {"rows": [{"model": "m", "resolution": "540p"}]}}, "octopusx.rows.0"),
        ({"octopusx": {"credit": {"usd": 0.1}}}, "octopusx.credit.usd: 0.1 is not of type 'string'"),
    ],
)
def test_a_wrong_list_of_prices_is_told_and_nothing_is_planned(folder: Folder, document: Any, words: str) -> None:
    folder.sweep(1)
    path = own_prices(folder, document)
    refused = folder("plan", "jobs.yaml", VIDU_RUN_PRICES=str(path))
    assert refused.code == 2
    assert words in refused.err
    path.write_text("{")
    assert "not JSON" in folder("plan", "jobs.yaml", VIDU_RUN_PRICES=str(path)).err
    path.write_bytes(b'{"octopusx": "\xff"}')
    assert "not JSON" in folder("plan", "jobs.yaml", VIDU_RUN_PRICES=str(path)).err
    path.unlink()
    assert "cannot be read" in folder("plan", "jobs.yaml", VIDU_RUN_PRICES=str(path)).err
    assert folder("plan", "jobs.yaml", VIDU_RUN_PRICES="").code == 0


def test_an_unknown_price_is_said_and_refused_under_a_budget_unless_one_is_assumed(
    folder: Folder, server: FaultServer
) -> None:
    folder.sweep(2, model="viduq2-pro-fast", resolution="540p", duration=5)
    assert "2 without a known price" in plan(folder).out
    refused = folder.buy(server, "--budget", "100")
    assert refused.code == 2
    assert "no price is known for job-1" in refused.err
    assert plan(folder, "--assume-credits", "30", "--json").document["totals"]["credits"] == 60
    assert folder.buy(server, "--budget", "59", "--assume-credits", "30").code == 5
    assert not server.ledger
    assert folder.buy(server, "--budget", "60", "--assume-credits", "30").code == 0
    assert len(server.accepted) == 2


def test_the_example_in_the_manual_is_a_list_of_prices(folder: Folder) -> None:
    manual = Path(__file__).parents[1] / "docs/providers.md"
    example = re.search(r"```json\n(\{\"octopusx.*?)```", manual.read_text(encoding="utf-8"), re.DOTALL)
    assert example
    path = folder.write(example[1], "prices.json")
    folder.sweep(1, resolution="720p", duration=5)
    assert "45 credits ($0.29)" in plan(folder, VIDU_RUN_PRICES=str(path)).out
    assert '"rows"' in folder("schema", "prices").out


def test_a_budget_that_the_next_job_breaks_says_which_one_would_fit(folder: Folder, server: FaultServer) -> None:
    folder.frame("a.png")
    folder.frame("b.png")
    images = "images: [frames/a.png, frames/b.png], model: viduq2-turbo"
    jobs = f"  - {{name: dear, request: {{{images}, duration: 8, resolution: 1080p}}}}\n"
    jobs += f"  - {{name: cheap, request: {{{images}, duration: 1, resolution: 540p}}}}\n"
    folder.write("version: 1\nprovider: octopusx\njobs:\n" + jobs)
    dear, cheap = (job["credits"] for job in folder("plan", "jobs.yaml", "--json").document["jobs"])

    refused = folder.buy(server, "--budget", str(cheap))
    none = folder.buy(server, "--budget", str(cheap - 1))

    assert f"the next one, dear, costs {dear}; --only cheap fits" in refused.err
    assert f"not even one job fits (the next one, dear, costs {dear})" in none.err
    assert not server.ledger


def test_paid_tasks_of_jobs_that_were_edited_are_told_before_they_are_brought_home(
    folder: Folder, server: FaultServer
) -> None:
    folder.sweep(2)
    server.task_seconds = 0.5
    assert folder.buy(server, "--no-wait").code == 3
    folder.sweep(2, prompt="another harbour")

    told = folder("plan", "jobs.yaml", "--base-url", server.base_url).out

    assert "2 tasks of earlier versions paid and not here: a run brings them home" in told
    assert folder.buy(server).code == 0
    assert len(list((folder.path / "out/jobs/videos/earlier").glob("*.mp4"))) == 2
    assert "earlier versions" not in folder("plan", "jobs.yaml", "--base-url", server.base_url).out
