"""Picks become the next spec: through the real command, on drafts of a real rehearsal."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from conftest import Folder, Result, environment
from fault_server import FaultServer

from vidu_run.choice import changes_of
from vidu_run.cli import main
from vidu_run.errors import UsageTrouble
from vidu_run.files import give_name, held_aside
from vidu_run.job import Job
from vidu_run.journal.port import Sheet
from vidu_run.journal.reader import ReadJournal
from vidu_run.promote import final_file
from vidu_run.record import Record
from vidu_run.spec.load import load

OTHER_DISK = Path("/dev/shm")
DRAFTS = """\
version: 1
provider: vidu
concurrency: 3
off_peak_concurrency: 7
budget: 500
shrink: false
timing: {poll_min: 0.05, poll_max: 0.2, settle: 0.5}
vars: {look: "soft, grey"}
defaults: {model: viduq2-turbo, duration: 1, resolution: 540p, images: [frames/a.png, frames/b.png]}
jobs:
  - name: "take-{{ seed }}"
    matrix: {seed: [7, 11]}
    request:
      prompt: |
        A {{ look }} boat: "slowly",
        shot #1
      seed: "{{ seed }}"
  - name: take-free
    request: {prompt: '100{{ "{%" }} off', payload: mine, images: [frames/b.png, frames/a.png]}
  - name: later
    request: {prompt: not bought}
"""


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three clips, one of them with a seed that the API drew, and a job that was never sent."""
    made = Folder(tmp_path_factory.mktemp("rehearsal") / "repo")
    made.frame("a.png")
    made.frame("b.png", "navy")
    made.write(DRAFTS)
    done = made("jobs.yaml", "--provider", "local", "--only", "take-*", "--json")
    assert done.counts() == {"done": 3, "planned": 1}, done.err
    return made.path


@pytest.fixture
def drafts(rehearsal: Path, tmp_path: Path) -> Folder:
    shutil.copytree(rehearsal, tmp_path / "repo")
    (tmp_path / "repo/frames").rename(tmp_path / "frames")
    copy = Folder(tmp_path / "repo")
    shutil.copytree(tmp_path / "frames", copy.path / "frames", dirs_exist_ok=True)
    return copy


def state(folder: Folder, out: str = "out/jobs.local") -> tuple[dict[str, Sheet], dict[str, Record]]:
    """Sheets and records by the jobs' names; of two jobs of one name that of the present spec."""
    journal = ReadJournal(folder.path / out)
    try:
        records = {record.key: record for record in journal.records()}
        sheets = {sheet.name: sheet for sheet in sorted(journal.all_sheets(), key=lambda s: s.position is not None)}
        return sheets, {name: records[sheet.key] for name, sheet in sheets.items() if sheet.key in records}
    finally:
        journal.close()


def pick(folder: Folder, stars: Mapping[str, int | None], out: str = "out/jobs.local") -> str:
    sheets, _ = state(folder, out)
    return write_picks(folder, [{"key": sheets[name].key, "name": name, "stars": n} for name, n in stars.items()])


def write_picks(folder: Folder, picks: list[dict[str, Any]]) -> str:
    text = "picks:\n" + "".join(f"  - {json.dumps(entry)}\n" for entry in picks)
    folder.write(text, "jobs.picks.yaml")
    return text


def promote(folder: Folder, *words: str) -> Result:
    return folder("promote", "jobs.yaml", "--provider", "local", *words)


@pytest.fixture
def here(drafts: Folder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """The same through the program's one door in this process: quicker, for what ends before anything is written."""

    def run(*words: str) -> Result:
        monkeypatch.chdir(drafts.path)
        with pytest.raises(SystemExit) as ended:
            main(["promote", "jobs.yaml", "--provider", "local", *words])
        assert isinstance(ended.value.code, int)
        return Result(ended.value.code, *capsys.readouterr())

    return run


def final_jobs(folder: Folder, name: str = "jobs.final.yaml", provider: str | None = None) -> dict[str, Job]:
    return {job.name: job for job in load(folder.path / name, provider).jobs}


def listing(folder: Folder) -> list[str]:
    return sorted(path.name for path in folder.path.iterdir())


def test_each_pick_becomes_a_plain_job_with_the_seed_its_clip_was_made_with(drafts: Folder) -> None:
    pick(drafts, {"take-free": 3, "take-11": 0, "take-7": 5, "later": None})
    made = promote(drafts, "--with", "model=viduq2-pro,resolution=1080p")
    assert (made.code, made.out) == (0, "jobs.final.yaml\n"), made.err
    sheets, records = state(drafts)
    jobs = final_jobs(drafts)
    assert list(jobs) == ["take-7", "take-free"]
    assert {name: job.draft for name, job in jobs.items()} == {name: sheets[name].key for name in jobs}
    drawn = records["take-free"].seed
    assert drawn
    changed = {"model": "viduq2-pro", "resolution": "1080p"}
    assert jobs["take-7"].request == {**sheets["take-7"].request, **changed}
    assert jobs["take-free"].request == {**sheets["take-free"].request, **changed, "seed": drawn}
    assert jobs["take-7"].request["prompt"] == 'A soft, grey boat: "slowly",\nshot #1'
    assert jobs["take-free"].request["prompt"] == "100{% off"


def test_the_words_say_the_price_what_a_seed_is_worth_and_where_to_go_on(drafts: Folder) -> None:
    pick(drafts, {"take-7": 5, "take-11": 1})
    said = promote(drafts, "--with", "duration=4").err
    final = load(drafts.path / "jobs.final.yaml")
    credits = sum(job.credits or 0 for job in final.jobs)
    assert f"2 jobs: 2 to submit · {credits} credits" in said
    assert "the same seed with another model, resolution or length does not give the same video" in said
    assert "next: vidu-run plan jobs.final.yaml\nthen: vidu-run jobs.final.yaml\n" in said
    assert "does not give the same video" in (drafts.path / "jobs.final.yaml").read_text()
    alike = promote(drafts, "--with", "off_peak=true", "--to", "alike.yaml").err
    assert "the same seed" not in alike + (drafts.path / "alike.yaml").read_text()
    planned = drafts("plan", "jobs.final.yaml", "--json").document
    assert [(job["step"], job["reason"]) for job in planned["jobs"]] == [("submit", "new")] * 2
    assert planned["totals"]["credits"] == credits


def test_the_new_spec_keeps_the_settings_of_the_old_one_but_its_budget(drafts: Folder) -> None:
    pick(drafts, {"take-7": 5})
    assert promote(drafts).code == 0
    old, new = load(drafts.path / "jobs.yaml"), load(drafts.path / "jobs.final.yaml")
    kept = ("home", "provider", "concurrency", "off_peak_concurrency", "timing", "shrink")
    assert [getattr(new, name) for name in kept] == [getattr(old, name) for name in kept]
    assert (old.budget, new.budget) == (500, None)
    text = (drafts.path / "jobs.final.yaml").read_text()
    assert text.startswith("# Made by vidu-run promote from 'jobs.yaml'")
    assert not any(f"\n{word}:" in text for word in ("vars", "defaults", "budget"))
    assert "matrix" not in text


def test_the_same_picks_give_the_same_bytes(drafts: Folder) -> None:
    pick(drafts, {"take-7": 5, "take-free": 4})
    assert promote(drafts).code == 0
    first = (drafts.path / "jobs.final.yaml").read_bytes()
    pick(drafts, {"take-free": 4, "take-7": 5})
    assert promote(drafts, "--to", "again.yaml").code == 0
    assert (drafts.path / "again.yaml").read_bytes() == first


def test_a_final_spec_is_rehearsed_and_its_state_remembers_the_drafts(drafts: Folder) -> None:
    pick(drafts, {"take-7": 5, "take-free": 4})
    told = promote(drafts, "--with", "duration=2", "--json")
    sheets, _ = state(drafts)
    document = told.document
    assert [(job["name"], job["from"]) for job in document["jobs"]] == [
        (name, sheets[name].key) for name in ("take-7", "take-free")
    ]
    jobs = final_jobs(drafts)
    assert {job["name"]: (job["key"], job["credits"]) for job in document["jobs"]} == {
        name: (job.key, job.credits) for name, job in jobs.items()
    }
    credits = sum(job.credits or 0 for job in jobs.values())
    assert document["spec"] == "jobs.final.yaml"
    assert document["totals"] == {"credits": credits, "usd": credits * 0.005, "unpriced": 0}
    done = drafts("jobs.final.yaml", "--provider", "local", "--json")
    assert (done.code, done.counts()) == (0, {"done": 2}), done.err
    finals, _ = state(drafts, "out/jobs.final.local")
    assert {name: sheet.draft for name, sheet in finals.items()} == {name: sheets[name].key for name in finals}
    assert {sheet.draft for sheet in sheets.values()} == {None}


def test_edited_and_renamed_drafts_are_found_by_their_keys(drafts: Folder) -> None:
    """`take-7` was edited between two picks, `take-free` left the spec, and then `take-11` got another name."""
    before, _ = state(drafts)
    edited = DRAFTS.replace("soft, grey", "bright")
    drafts.write(edited[: edited.index("  - name: take-free")] + edited[edited.index("  - name: later") :])
    assert drafts("jobs.yaml", "--provider", "local", "--only", "take-7", "--json").code == 0
    after, _ = state(drafts)
    taken = {"take-7": after["take-7"], "old": before["take-7"], "free": before["take-free"]}
    write_picks(drafts, [{"key": sheet.key, "name": "as it was", "stars": 5} for sheet in taken.values()])
    made = promote(drafts)
    old_name = f"take-7.{before['take-7'].key[:8]}"
    said = "2 of them are earlier takes: their jobs were edited or have left the spec. They stand last: "
    assert (made.code, f"{said}{old_name} and 1 more\n" in made.err) == (0, True), made.err
    jobs = final_jobs(drafts)
    assert {name: job.draft for name, job in jobs.items()} == {
        "take-7": after["take-7"].key,
        old_name: before["take-7"].key,
        "take-free": before["take-free"].key,
    }
    assert list(jobs) == ["take-7", old_name, "take-free"]
    assert "bright" in jobs["take-7"].request["prompt"]
    assert "soft, grey" in jobs[old_name].request["prompt"]
    drafts.write(DRAFTS.replace("take-{{ seed }}", "shot-{{ seed }}"))
    assert drafts("jobs.yaml", "--provider", "local", "--only", "nothing", "--json").code == 0
    write_picks(drafts, [{"key": before["take-11"].key, "name": "take-11", "stars": 1}])
    renamed = promote(drafts, "--to", "renamed.yaml")
    assert (renamed.code, "earlier" in renamed.err) == (0, False)
    assert [job.draft for job in final_jobs(drafts, "renamed.yaml").values()] == [before["take-11"].key]
    assert list(final_jobs(drafts, "renamed.yaml")) == ["shot-11"]


def test_what_a_provider_does_not_know_stays_extra_and_a_seed_nobody_told_is_the_one_asked_for(
    folder: Folder, server: FaultServer
) -> None:
    folder.sweep(1, audio=False)
    spec = folder.path / "jobs.yaml"
    extra = '    extra: {movement_amplitude: small, style: {"no": [0.5, null, "{{ seed }}"], mark: "{{ \'{#\' }}"}}\n'
    spec.write_text(spec.read_text() + extra)
    assert folder.buy(server).code == 0
    sheets, records = state(folder, "out/jobs")
    assert records["job-1"].seed is None
    pick(folder, {"job-1": 2}, "out/jobs")
    assert (
        folder("promote", "jobs.yaml", "--with", "style=null,movement_amplitude=large", "--to", "less.yaml").code == 0
    )
    assert folder("promote", "jobs.yaml").code == 0
    whole, less = final_jobs(folder)["job-1"], final_jobs(folder, "less.yaml")["job-1"]
    assert whole.request == sheets["job-1"].request
    assert whole.request["style"] == {"no": [0.5, None, 1], "mark": "{#"}
    assert whole.request["seed"] == 1
    assert less.request == {
        **{name: value for name, value in whole.request.items() if name != "style"},
        "movement_amplitude": "large",
    }


def test_a_final_job_that_asks_for_its_draft_once_more_is_told_and_not_bought_twice(
    folder: Folder, server: FaultServer
) -> None:
    folder.sweep(2)
    assert folder.buy(server).code == 0
    pick(folder, {"job-1": 2, "job-2": 5}, "out/jobs")
    told = folder("promote", "jobs.yaml").err
    assert "2 of them ask for the very clip of the draft: a run stops at it with exit 4, since out/jobs has it" in told
    assert "next: vidu-run plan jobs.final.yaml" in told
    assert "then:" not in told
    assert folder.buy(server, spec="jobs.final.yaml").code == 4
    assert len(server.accepted) == 2


def test_stars_and_names_choose_among_the_picks(drafts: Folder) -> None:
    pick(drafts, {"take-7": 2, "take-11": 4, "take-free": 5})
    assert promote(drafts, "--stars", "4", "--to", "stars.yaml").code == 0
    assert promote(drafts, "--only", "take-[0-9]*", "--to", "names.yaml").code == 0
    assert list(final_jobs(drafts, "stars.yaml")) == ["take-11", "take-free"]
    assert list(final_jobs(drafts, "names.yaml")) == ["take-7", "take-11"]


def test_a_frame_that_is_not_the_draft_s_any_more_is_told_before_it_is_bought(drafts: Folder) -> None:
    pick(drafts, {"take-7": 5, "take-11": 4})
    assert promote(drafts, "--with", "duration=2").code == 0
    words = ("jobs.final.yaml", "--provider", "local")
    assert "picture of the draft" not in drafts("plan", *words).err
    drafts.frame("a.png", "red")
    planned = drafts("plan", *words)
    said = "warning: frames/a.png is not the picture of the draft any more; job take-7"
    assert (planned.code, said in planned.err) == (0, True), planned.err
    rehearsed = drafts(*words, "--only", "take-7")
    assert (rehearsed.code, said in rehearsed.err) == (0, True), rehearsed.err
    assert "picture of the draft" not in drafts(*words, "--only", "take-7").err
    drafts.frame("c.png", "white")
    text = (drafts.path / "jobs.final.yaml").read_text()
    drafts.write(text.replace("frames/a.png", "frames/c.png"), "jobs.final.yaml")
    assert "picture of the draft" not in drafts("plan", *words).err


@pytest.mark.parametrize(
    ("stars", "words", "said"),
    [
        ({}, (), "there is no pick in it"),
        ({"take-7": 0, "take-11": None}, (), "no pick has at least 1 star; the most is 0"),
        ({"take-7": 3}, ("--stars", "4"), "no pick has at least 4 stars; the most is 3"),
        ({"take-7": 3}, ("--only", "shot-*"), "no pick of at least 1 star is called 'shot-*'"),
    ],
)
def test_nothing_to_promote_is_told_with_its_reason(
    stars: dict[str, int | None], words: tuple[str, ...], said: str, drafts: Folder, here: Callable[..., Result]
) -> None:
    pick(drafts, stars)
    if not stars:
        drafts.write("picks: []\n", "jobs.picks.yaml")
    refused = here(*words)
    assert (refused.code, refused.out) == (2, "")
    assert f"jobs.picks.yaml: {said}" in refused.err
    assert not (drafts.path / "jobs.final.yaml").exists()


def test_without_a_picks_file_the_way_to_one_is_told(drafts: Folder) -> None:
    refused = promote(drafts)
    assert refused.code == 2
    assert "jobs.picks.yaml: there are no picks. Open report.html" in refused.err


def test_picks_may_come_through_standard_input(drafts: Folder) -> None:
    text = pick(drafts, {"take-7": 5})
    (drafts.path / "jobs.picks.yaml").unlink()

    def piped(content: bytes) -> subprocess.CompletedProcess[bytes]:
        words = ["promote", "jobs.yaml", "--provider", "local", "--picks", "-"]
        command = [sys.executable, "-m", "vidu_run", *words]
        return subprocess.run(
            command, cwd=drafts.path, env=environment(), input=content, capture_output=True, timeout=60, check=False
        )

    for content, said in (
        (b"", b"-: is empty"),
        (b"picks: \xff", b"not UTF-8"),
        (b"picks: 3", b"-:1:8: picks must be"),
    ):
        refused = piped(content)
        assert (refused.returncode, said in refused.stderr) == (2, True), refused.stderr
    assert piped(b"\xef\xbb\xbf" + text.encode()).returncode == 0
    assert list(final_jobs(drafts)) == ["take-7"]


def test_every_reason_against_it_is_told_at_once_and_nothing_is_written(drafts: Folder) -> None:
    sheets, _ = state(drafts)
    known = [{"key": sheets[name].key, "name": name, "stars": 5} for name in sheets]
    write_picks(drafts, known)
    drafts.frame("a.png", "red")
    (drafts.path / "frames/b.png").unlink()
    drafts.write("mine", "jobs.final.yaml")
    before = listing(drafts)
    refused = promote(drafts)
    assert (refused.code, refused.out) == (2, "")
    lines = refused.err.splitlines()
    a, b = (stored for _, stored in sheets["take-7"].images)
    assert lines == [
        f"frames/a.png: is not the picture of the draft any more; as it was it is kept in out/jobs.local/frames/{a};"
        " job take-7 (and 3 more like it)",
        f"frames/b.png: does not exist; as it was it is kept in out/jobs.local/frames/{b};"
        " job take-7 (and 3 more like it)",
        "jobs.final.yaml: is there already and is never overwritten: give another --to FILE",
        "jobs.yaml: the seed it was made with is not known: give one with --with seed=N; job later",
    ]
    assert listing(drafts) == before
    assert (drafts.path / "jobs.final.yaml").read_text() == "mine"


def test_picks_of_another_state_are_left_out_and_told_of(drafts: Folder) -> None:
    sheets, _ = state(drafts)
    theirs = {"key": "ab" * 32, "name": "somebody else's", "stars": 1}
    write_picks(drafts, [{"key": sheets["take-7"].key, "name": "take-7", "stars": 5}, theirs])
    done = promote(drafts, "--with", "seed=3")
    assert done.code == 0
    assert "1 pick is of a job that out/jobs.local does not know: left out" in done.err
    assert list(final_jobs(drafts)) == ["take-7"]

    write_picks(drafts, [theirs])
    refused = promote(drafts, "--to", "other.yaml")
    said = (
        "jobs.picks.yaml: out/jobs.local knows no such job: the pick is of another state or spec; job somebody else's"
    )
    assert (refused.code, refused.err.splitlines()) == (2, [said])


def test_a_job_that_was_never_bought_is_promoted_with_a_seed_of_the_user_s(drafts: Folder) -> None:
    pick(drafts, {"later": 1})
    assert promote(drafts, "--with", "seed=0", "--to", "drawn.yaml").code == 0
    assert promote(drafts, "--with", "seed=21").code == 0
    assert final_jobs(drafts)["later"].request["seed"] == 21
    assert final_jobs(drafts, "drawn.yaml")["later"].request["seed"] == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--with", "resolution=540p,model=viduq1"], "jobs.final.yaml: resolution '540p' is not allowed for viduq1"),
        (["--with", "seed=5"], "jobs.final.yaml: the same request as job take-7 at jobs.final.yaml: both ask for"),
        (["--with", "model=viduq9"], "--with model 'viduq9' is not allowed"),
        (["--with", "duration=long"], "--with duration must be a whole number"),
        (["--with", "resolution=1080"], "resolution must be text, not the number 1080; did you mean 1080p?"),
        (["--picks", "nofile"], "vidu-run: --picks nofile: there is no such file"),
        (["--with", "durration=8"], "neither the provider nor a draft knows this field; did you mean duration?"),
        (["--with", "images=null"], "--with images: the frames stay those of the drafts"),
        (["--with", "prompt=a {{ look }} boat"], "jobs.yaml: prompt holds what the spec takes for a template"),
        (["--to", "finals/jobs.yaml"], "finals/jobs.yaml: must stand beside jobs.yaml"),
        (["--to", "../jobs.yaml"], "../jobs.yaml: must stand beside jobs.yaml"),
        (["--to", "jobs.yml"], "jobs.yml: would share the output folder of jobs.yaml"),
        (["--to", "other.yml"], "other.yml: is there already, as other.yaml, and is never overwritten"),
        (["--to", "jobs.picks.yaml"], "jobs.picks.yaml: is there already and is never overwritten"),
    ],
)
def test_what_cannot_become_a_sound_spec_is_refused_and_leaves_nothing_behind(
    words: list[str], said: str, drafts: Folder, here: Callable[..., Result]
) -> None:
    pick(drafts, {"take-7": 5, "take-11": 5})
    (drafts.path / "finals").mkdir()
    drafts.write("", "other.yaml")
    before = listing(drafts)
    refused = here(*words)
    assert (refused.code, refused.out) == (2, "")
    assert said in refused.err
    assert listing(drafts) == before
    assert not list((drafts.path / "finals").iterdir())


def test_the_state_is_enough_where_the_spec_cannot_be_read_any_more(drafts: Folder) -> None:
    pick(drafts, {"take-7": 5})
    drafts.write("jobs: [")
    made = drafts("promote", "jobs.yaml", "--out", "out/jobs.local", "--with", "duration=3")
    assert made.code == 0, made.err
    final = load(drafts.path / "jobs.final.yaml")
    assert (final.home, final.jobs[0].request["duration"]) == ("vidu", 3)


def test_a_setting_that_is_wrong_by_now_is_not_taken_over(drafts: Folder) -> None:
    pick(drafts, {"take-7": 5})
    drafts.write(DRAFTS.replace("concurrency: 3", "concurrency: many"))
    assert promote(drafts).code == 0
    final = load(drafts.path / "jobs.final.yaml")
    assert (final.concurrency, final.off_peak_concurrency) == (4, 7)


def test_the_provider_that_made_the_drafts_is_named_where_it_is_not_the_spec_s(
    folder: Folder, server: FaultServer
) -> None:
    folder.sweep(1)
    spec = folder.path / "jobs.yaml"
    without = spec.read_text().replace('      seed: "{{ seed }}"\n', "")
    spec.write_text(without + "      movement_amplitude: small\n")
    assert folder.buy(server, "--provider", "vidu").code == 0
    pick(folder, {"job-1": 5}, "out/jobs@vidu")
    made = folder("promote", "jobs.yaml", "--provider", "vidu", "--with", "duration=2")
    assert made.code == 0, made.err
    assert made.err.endswith("then: vidu-run jobs.final.yaml --provider vidu\n")
    job = final_jobs(folder, provider="vidu")["job-1"]
    assert (job.request["seed"], job.request["movement_amplitude"]) == (42, "small")


@pytest.mark.parametrize(
    ("words", "changes"),
    [
        (["model=viduq2-pro,resolution=1080p"], {"model": "viduq2-pro", "resolution": "1080p"}),
        (["prompt=a boat, slowly, turning,duration=8"], {"prompt": "a boat, slowly, turning", "duration": 8}),
        (["prompt=a boat, a=b"], {"prompt": "a boat", "a": "b"}),
        (["a=1, b=2.0", "c=null"], {"a": 1, "b": 2, "c": None}),
        (["prompt=", "off_peak=true"], {"prompt": "", "off_peak": True}),
        (["prompt=line\none=two"], {"prompt": "line\none=two"}),
        (["payload=012,off_peak=no"], {"payload": "012", "off_peak": "no"}),
        ([], {}),
    ],
)
def test_a_comma_ends_a_value_only_in_front_of_a_name(words: list[str], changes: dict[str, Any]) -> None:
    assert changes_of(words) == changes


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["seed"], "--with 'seed': write FIELD=VALUE"),
        (["=5"], "write FIELD=VALUE"),
        ([""], "write FIELD=VALUE"),
        (["seed=1,seed=2"], "--with seed: is given twice"),
        (["seed=1", "seed=1"], "--with seed: is given twice"),
        (["seed=1e999"], "--with seed: too large a number"),
        (["prompt=\udcff"], "--with prompt: is not UTF-8 text"),
    ],
)
def test_what_is_no_assignment_is_refused(words: list[str], said: str) -> None:
    with pytest.raises(UsageTrouble) as caught:
        changes_of(words)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "final"),
    [
        ("jobs.yaml", "jobs.final.yaml"),
        ("a/b.c.yml", "a/b.c.final.yaml"),
        ("jobs.final.yaml", "jobs.final2.yaml"),
        ("jobs.final2.yaml", "jobs.final3.yaml"),
        ("jobs.final99.yml", "jobs.final100.yaml"),
        ("final.yaml", "final.final.yaml"),
        ("jobs.finale.yaml", "jobs.finale.final.yaml"),
    ],
)
def test_a_final_spec_is_called_after_its_drafts(spec: str, final: str) -> None:
    assert final_file(Path(spec)) == Path(final)


def test_a_name_that_somebody_took_in_the_meantime_stays_theirs(tmp_path: Path) -> None:
    target = tmp_path / "jobs.final.yaml"
    with held_aside(target, b"first") as aside:
        assert give_name(aside, target)
    with held_aside(target, b"second") as aside:
        assert aside.read_bytes() == b"second"
        assert not give_name(aside, target)
    assert [path.name for path in tmp_path.iterdir()] == ["jobs.final.yaml"]
    assert target.read_bytes() == b"first"


def test_a_file_gets_its_name_where_a_file_has_no_second_one(tmp_path: Path) -> None:
    """Another file system stands for one without links."""
    if not OTHER_DISK.is_dir() or OTHER_DISK.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second file system here")
    target = tmp_path / "jobs.final.yaml"
    with held_aside(OTHER_DISK / target.name, b"first") as aside:
        assert give_name(aside, target)
        assert not give_name(aside, target)
    assert target.read_bytes() == b"first"
