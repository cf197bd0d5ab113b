"""The whole way, with the real command against a real server: what a run buys, keeps, shows and ends with."""

from __future__ import annotations

import base64
import csv
import io
import json
import shutil
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

from conftest import KEY, Folder
from fault_server import FaultServer, http, says
from PIL import Image


def test_a_run_ends_with_every_video_the_page_and_the_ledger(folder: Folder, server: FaultServer) -> None:
    folder.sweep(3)
    done = folder.buy(server)
    assert done.code == 0, done.err
    assert done.counts() == {"done": 3}
    out = folder.path / "out/jobs"
    assert [(out / f"videos/job-{n}.mp4").read_bytes() == server.video for n in (1, 2, 3)] == [True] * 3
    assert (out / "report.html").is_file()
    lines = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    assert {line["name"]: line["file"] for line in lines} == {f"job-{n}": f"videos/job-{n}.mp4" for n in (1, 2, 3)}
    assert len(server.accepted) == 3


def test_a_second_run_with_everything_done_asks_nobody_even_with_the_server_gone(
    folder: Folder, servers: Callable[..., FaultServer]
) -> None:
    folder.sweep(2)
    server = servers()
    assert folder.buy(server).code == 0
    asked = len(server.requests)
    server.__exit__()
    again = folder.buy(server)
    assert again.code == 0
    assert again.counts() == {"done": 2}
    assert len(server.requests) == asked


def test_what_is_sent_is_the_spec_s_request_with_frames_as_data_uris_and_a_marker(
    folder: Folder, server: FaultServer
) -> None:
    import base64

    folder.sweep(1, payload="mine")
    assert folder.buy(server).code == 0
    body = server.ledger[0].body
    assert body["model"] == "viduq2-turbo"
    assert body["seed"] == 1
    assert body["payload"].endswith("|mine")
    assert body["payload"].startswith("vr1.")
    head, _, data = body["images"][0].partition(",")
    assert head == "data:image/png;base64"
    assert base64.b64decode(data) == (folder.path / "frames/a.png").read_bytes()
    assert server.ledger[0].headers["authorization"] == f"Bearer {KEY}"


def test_changing_one_job_buys_that_job_only_and_keeps_its_earlier_video(folder: Folder, server: FaultServer) -> None:
    spec = folder.sweep(3)
    folder.buy(server)
    first = json.loads((folder.path / "out/jobs/results.jsonl").read_text().splitlines()[0])
    before = {p.name: p.stat().st_ino for p in (folder.path / "out/jobs/videos").glob("*.mp4")}
    text = spec.read_text().replace('prompt: "a harbour"', "prompt: \"{{ 'a storm' if seed == 2 else 'a harbour' }}\"")
    spec.write_text(text)
    again = folder.buy(server)
    assert again.code == 0, again.err
    assert len(server.accepted) == 4
    assert server.accepted[-1].body["prompt"] == "a storm"
    videos = folder.path / "out/jobs/videos"
    kept = list((videos / "earlier").glob("job-2.*.mp4"))
    assert len(kept) == 1
    assert kept[0].stat().st_ino == before["job-2.mp4"]
    assert (videos / "job-1.mp4").stat().st_ino == before["job-1.mp4"]
    assert first


def test_a_reverted_edit_moves_the_earlier_video_back_and_buys_nothing(folder: Folder, server: FaultServer) -> None:
    spec = folder.sweep(1)
    folder.buy(server)
    inode = (folder.path / "out/jobs/videos/job-1.mp4").stat().st_ino
    original = spec.read_text()
    spec.write_text(original.replace("a harbour", "a storm"))
    folder.buy(server)
    spec.write_text(original)
    assert folder.buy(server).code == 0
    assert len(server.accepted) == 2
    assert (folder.path / "out/jobs/videos/job-1.mp4").stat().st_ino == inode
    assert len(list((folder.path / "out/jobs/videos/earlier").glob("*.mp4"))) == 1


def test_comments_order_and_renamed_frames_buy_nothing(folder: Folder, server: FaultServer) -> None:
    spec = folder.sweep(2)
    folder.buy(server)
    (folder.path / "frames/a.png").rename(folder.path / "frames/first.png")
    text = spec.read_text().replace("frames/a.png", "frames/first.png").replace("[1, 2]", "[2, 1, -1]")
    spec.write_text(f"# a comment\n{text}")
    assert folder.buy(server).code == 0
    assert len(server.accepted) == 2


def test_a_renamed_job_renames_its_file_and_buys_nothing(folder: Folder, server: FaultServer) -> None:
    spec = folder.sweep(2)
    folder.buy(server)
    spec.write_text(spec.read_text().replace("job-{{ seed }}", "take/{{ seed }}"))
    again = folder.buy(server)
    assert again.code == 0
    assert len(server.accepted) == 2
    videos = folder.path / "out/jobs/videos"
    assert sorted(p.relative_to(videos).as_posix() for p in videos.rglob("*.mp4")) == ["take/1.mp4", "take/2.mp4"]
    assert {job["file"] for job in again.document["jobs"]} == {"videos/take/1.mp4", "videos/take/2.mp4"}


def test_two_jobs_may_swap_their_names(folder: Folder, server: FaultServer) -> None:
    spec = folder.sweep(2)
    folder.buy(server)
    videos = folder.path / "out/jobs/videos"
    before = {n: (videos / f"job-{n}.mp4").stat().st_ino for n in (1, 2)}
    spec.write_text(spec.read_text().replace("job-{{ seed }}", "job-{{ 2 if seed == 1 else 1 }}"))
    spec.write_text(
        spec.read_text().replace("name: job-{{ 2 if seed == 1 else 1 }}", 'name: "job-{{ 2 if seed == 1 else 1 }}"')
    )
    assert folder.buy(server).code == 0
    assert (videos / "job-2.mp4").stat().st_ino == before[1]
    assert (videos / "job-1.mp4").stat().st_ino == before[2]
    assert sorted(path.name for path in videos.iterdir()) == ["job-1.mp4", "job-2.mp4"]
    assert len(server.accepted) == 2


def test_a_moved_folder_buys_nothing(folder: Folder, server: FaultServer) -> None:
    folder.sweep(2)
    folder.buy(server)
    moved = folder.path.with_name("elsewhere")
    folder.path.rename(moved)
    folder.path = moved
    assert folder.buy(server).code == 0
    assert len(server.accepted) == 2


def test_a_renamed_spec_stops_with_exit_4_and_names_the_folder(folder: Folder, server: FaultServer) -> None:
    spec = folder.sweep(2)
    folder.buy(server)
    spec.rename(folder.path / "renamed.yaml")
    stopped = folder.buy(server, spec="renamed.yaml")
    assert stopped.code == 4
    assert "--out out/jobs" in stopped.err
    assert "--fresh" in stopped.err
    assert len(server.accepted) == 2
    assert folder.buy(server, spec="renamed.yaml").code == 4
    there = folder.buy(server, "--out", "out/jobs", spec="renamed.yaml")
    assert there.code == 0
    assert len(server.accepted) == 2


def test_fresh_buys_here_what_another_folder_holds(folder: Folder, server: FaultServer) -> None:
    spec = folder.sweep(1)
    folder.buy(server)
    spec.rename(folder.path / "renamed.yaml")
    assert folder.buy(server, "--fresh", spec="renamed.yaml").code == 0
    assert len(server.accepted) == 2


def test_another_base_url_stops_with_exit_2(folder: Folder, servers: Callable[..., FaultServer]) -> None:
    folder.sweep(1)
    first, second = servers(), servers()
    folder.buy(first)
    stopped = folder.buy(second)
    assert stopped.code == 2
    assert first.base_url in stopped.err
    assert not second.requests
    assert folder.buy(second, "--moved-to").code == 0
    assert not second.ledger


def test_a_deleted_state_with_its_ledger_buys_nothing(folder: Folder, server: FaultServer) -> None:
    folder.sweep(2)
    folder.buy(server)
    for file in (folder.path / "out/jobs").glob("state.db*"):
        file.unlink()
    again = folder.buy(server)
    assert again.code == 0
    assert again.counts() == {"done": 2}
    assert len(server.accepted) == 2


def test_a_job_delivered_elsewhere_is_skipped_and_bought_again_only_on_request(
    folder: Folder, server: FaultServer
) -> None:
    import shutil

    folder.sweep(1)
    folder.buy(server)
    ledger = (folder.path / "out/jobs/results.jsonl").read_bytes()
    shutil.rmtree(folder.path / "out/jobs")
    (folder.path / "out/jobs").mkdir()
    (folder.path / "out/jobs/results.jsonl").write_bytes(ledger)
    assert "done elsewhere" in folder("plan", "jobs.yaml", "--base-url", server.base_url).out
    assert "but results.jsonl lists what was delivered" in folder("status", "jobs.yaml").err
    assert folder.buy(server).code == 0
    assert len(server.accepted) == 1
    assert (folder.path / "out/jobs/results.jsonl").read_bytes() == ledger
    assert "job-1  delivered elsewhere, and not here" in folder("status", "jobs.yaml").out
    assert "1 delivered: 1: delivered elsewhere, and not here" in folder("status", "jobs.yaml", "--verify").out
    assert folder.buy(server, "--rebuy").code == 0
    assert len(server.accepted) == 2


def test_a_missing_file_is_fetched_again_not_bought_again(folder: Folder, server: FaultServer) -> None:
    folder.sweep(1)
    folder.buy(server)
    (folder.path / "out/jobs/videos/job-1.mp4").unlink()
    again = folder.buy(server)
    assert again.code == 0
    assert len(server.accepted) == 1
    assert (folder.path / "out/jobs/videos/job-1.mp4").read_bytes() == server.video


def test_a_stranger_s_file_under_a_job_s_name_is_kept(folder: Folder, server: FaultServer) -> None:
    folder.sweep(1)
    stray = folder.path / "out/jobs/videos/job-1.mp4"
    stray.parent.mkdir(parents=True)
    stray.write_bytes(b"something precious")
    assert folder.buy(server).code == 0
    assert stray.read_bytes() == server.video
    assert [p.read_bytes() for p in (stray.parent / "earlier").iterdir()] == [b"something precious"]


def test_no_more_tasks_are_in_flight_than_concurrency_allows(folder: Folder, server: FaultServer) -> None:
    folder.sweep(8, extra="concurrency: 3\n")
    server.task_seconds = 0.4
    assert folder.buy(server).code == 0
    assert server.most_in_flight == 3


def test_a_finished_task_frees_its_slot_before_its_download_begins(folder: Folder, server: FaultServer) -> None:
    folder.sweep(2, extra="concurrency: 1\n")
    server.download_faults = ["slow"]
    server.video += b"\0\0\0\x08free" * 20_000
    assert folder.buy(server).code == 0
    second = next(i for i, path in enumerate(server.requests) if path.startswith("/files/t-1"))
    assert server.requests[second:].count("/vidu/ent/v2/start-end2video") == 1


def test_limit_buys_so_many_and_the_next_run_goes_on(folder: Folder, server: FaultServer) -> None:
    folder.sweep(3)
    first = folder.buy(server, "--limit", "1")
    assert first.code == 0
    assert first.counts() == {"planned": 2, "done": 1}
    assert server.accepted[0].body["seed"] == 1
    assert folder.buy(server).code == 0
    assert len(server.accepted) == 3


def test_only_takes_the_jobs_whose_name_matches(folder: Folder, server: FaultServer) -> None:
    folder.sweep(3)
    assert folder.buy(server, "--only", "*-2").code == 0
    assert [posted.body["seed"] for posted in server.accepted] == [2]


def test_no_wait_leaves_the_tasks_for_fetch_which_needs_neither_spec_nor_frames(
    folder: Folder, server: FaultServer
) -> None:
    import shutil

    spec = folder.sweep(2)
    server.task_seconds = 1.0
    left = folder.buy(server, "--no-wait")
    assert left.code == 3
    assert left.counts() == {"submitted": 2}
    spec.unlink()
    shutil.rmtree(folder.path / "frames")
    fetched = folder("fetch", "--state", "out/jobs", "--json")
    assert fetched.code == 0, fetched.err
    assert fetched.counts() == {"done": 2}
    assert len(server.accepted) == 2


def test_how_long_a_clip_took_is_told_only_where_its_end_was_watched(folder: Folder, server: FaultServer) -> None:
    folder.sweep(2)
    server.task_seconds = 0.5
    assert folder.buy(server, "--only", "*-1", "--no-wait").code == 3
    time.sleep(1.5)

    assert folder.buy(server).code == 0
    rows = [*csv.DictReader(io.StringIO((folder.path / "out/jobs/results.csv").read_text("utf-8-sig")))]
    taken = {row["name"]: row["seconds_taken"] for row in rows}
    assert taken["job-1"] == "", "it had ended before anybody looked again"
    assert 0.4 < float(taken["job-2"]) < 1.5
    assert all(row["finished_at"] for row in rows)


def test_a_failed_task_is_told_and_bought_again_only_on_request(folder: Folder, server: FaultServer) -> None:
    spec = folder.sweep(1, prompt="this one fails")
    failed = folder.buy(server)
    assert failed.code == 1
    assert failed.document["jobs"][0]["error"] == "Bad: no luck"
    assert folder.buy(server).code == 1
    assert len(server.accepted) == 1
    assert folder.buy(server, "--retry-failed").code == 1
    assert len(server.accepted) == 2
    assert spec.exists()


def test_the_key_is_in_no_file_no_message_and_not_sent_to_the_result_s_host(
    folder: Folder, server: FaultServer
) -> None:
    folder.sweep(1)
    done = folder.buy(server)
    assert KEY not in done.out + done.err
    assert "VIDU_API_KEY goes to" in done.err
    kept = [p for p in (folder.path / "out").rglob("*") if p.is_file() and KEY.encode() in p.read_bytes()]
    assert kept == []
    assert all("authorization" not in headers for headers in server.download_headers)
    assert server.queried_keys
    assert set(server.queried_keys) == {f"Bearer {KEY}"}


def test_a_signed_link_goes_out_byte_for_byte(folder: Folder, server: FaultServer) -> None:
    folder.sweep(1)
    folder.buy(server)
    assert any(path.endswith("?sig=a%2Fb") for path in server.requests)


def test_without_a_terminal_nothing_is_sent_unless_yes_or_a_budget_is_given(
    folder: Folder, server: FaultServer
) -> None:
    folder.sweep(1)
    refused = folder("run", "jobs.yaml", "--base-url", server.base_url)
    assert refused.code == 2
    assert "--yes" in refused.err
    assert not server.requests
    assert folder("run", "jobs.yaml", "--base-url", server.base_url, "--budget", "100").code == 0


def test_a_plan_above_the_budget_sends_nothing_and_names_the_limit_that_fits(
    folder: Folder, server: FaultServer
) -> None:
    folder.sweep(5, extra="budget: 20\n")
    over = folder.buy(server)
    assert over.code == 5
    assert "--limit 3" in over.err
    assert not server.requests
    assert folder.buy(server, "--limit", "3").code == 0
    assert folder.buy(server).code == 5
    assert len(server.accepted) == 3


def test_without_a_key_nothing_is_sent(folder: Folder, server: FaultServer) -> None:
    folder.sweep(1)
    refused = folder("run", "jobs.yaml", "--base-url", server.base_url, "--yes", VIDU_API_KEY="")
    assert refused.code == 2
    assert "OCTOPUSX_API_KEY or VIDU_API_KEY" in refused.err


def test_the_provider_s_own_variable_comes_first(folder: Folder, server: FaultServer) -> None:
    folder.sweep(1)
    folder("run", "jobs.yaml", "--base-url", server.base_url, "--yes", OCTOPUSX_API_KEY="sk-own")
    assert server.ledger[0].headers["authorization"] == "Bearer sk-own"


def test_the_official_provider_sends_a_token_and_records_seed_and_charge(folder: Folder, server: FaultServer) -> None:
    folder.sweep(1)
    done = folder.buy(server, "--provider", "vidu")
    assert done.code == 0, done.err
    assert server.ledger[0].headers["authorization"] == f"Token {KEY}"
    assert done.document["jobs"][0]["seed"] == 42
    assert done.document["credits"] == {"estimated": 6, "charged": 7, "committed": 7}
    assert (folder.path / "out/jobs@vidu/videos/job-1.mp4").is_file()


def test_status_tells_what_a_budget_counts_also_of_jobs_that_have_left_the_spec(
    folder: Folder, server: FaultServer
) -> None:
    folder.sweep(3)
    assert folder.buy(server).code == 0
    folder.sweep(1)
    assert folder.buy(server).code == 0
    spent = 3 * folder("plan", "jobs.yaml", "--provider", "local", "--json").document["totals"]["credits"]
    told = folder("status", "jobs.yaml")
    assert told.out.splitlines()[1] == f"{spent} credits committed here, which a budget counts"
    credits = folder("status", "jobs.yaml", "--json").document["credits"]
    assert credits == {"estimated": spent // 3, "charged": None, "committed": spent}


def test_status_and_report_read_the_state_alone(folder: Folder, server: FaultServer) -> None:
    spec = folder.sweep(1)
    folder.buy(server)
    spec.unlink()
    status = folder("status", "--state", "out/jobs", "--json")
    assert status.code == 0
    job = status.document["jobs"][0]
    assert set(job) == {"name", "key", "state", "task_id", "seed", "credits", "file", "sha256", "error", "axes"}
    assert job["axes"] == {"seed": 1}
    (folder.path / "out/jobs/report.html").unlink()
    assert folder("report", "--state", "out/jobs").code == 0
    assert (folder.path / "out/jobs/report.html").is_file()


def test_the_small_picture_of_a_clip_is_made_while_the_run_waits_for_others(
    folder: Folder, server: FaultServer
) -> None:
    folder.sweep(2)
    later = says(http('{"id": "t-2", "status": "processing"}'))
    server.look = lambda path: later if "t-2" in path else None
    running = folder.start("run", "jobs.yaml", "--base-url", server.base_url, "--yes")
    try:
        pictures = folder.path / "out/jobs/posters"
        server.wait_until(lambda: [*pictures.glob("small/*.webp")])
        assert running.poll() is None
        assert not (folder.path / "out/jobs/report.html").exists()
    finally:
        server.look = lambda path: None
        running.communicate(timeout=30)
    assert running.returncode == 0
    assert len([*pictures.glob("*.webp")]) >= 1


def test_verify_tells_a_video_whose_bytes_have_changed(folder: Folder, server: FaultServer) -> None:
    folder.sweep(1)
    folder.buy(server)
    video: Path = folder.path / "out/jobs/videos/job-1.mp4"
    video.write_bytes(bytes(len(server.video)))
    told = folder("status", "jobs.yaml", "--verify", "--json")
    assert told.document["jobs"][0]["error"] == "its file has changed"
    assert folder("status", "jobs.yaml", "--verify").out.endswith("\n1 delivered: 1: its file has changed\n")
    video.write_bytes(server.video)
    assert folder("status", "jobs.yaml", "--verify").out.endswith("\n1 delivered: every file is as it came\n")


def test_a_rehearsal_whose_video_is_gone_fetches_it_from_the_local_api_again(folder: Folder) -> None:
    """The local API has another port in every run, so the link of the record leads nowhere."""
    folder.sweep(1)
    assert folder("run", "jobs.yaml", "--provider", "local", "--json").code == 0
    video = folder.path / "out/jobs.local/videos/job-1.mp4"
    before = video.read_bytes()
    video.unlink()
    again = folder("run", "jobs.yaml", "--provider", "local", "--json")
    assert again.code == 0, again.err
    assert video.read_bytes() == before


def test_a_budget_does_not_stop_a_free_rehearsal(folder: Folder) -> None:
    folder.sweep(1, extra="budget: 0\n")
    assert folder("run", "jobs.yaml", "--provider", "local").code == 0
    assert "budget" not in folder("plan", "jobs.yaml", "--provider", "local").err


def test_a_plan_says_that_it_does_not_fit_the_budget_as_the_run_does(folder: Folder, server: FaultServer) -> None:
    folder.sweep(3, extra="budget: 13\n")
    why = "the plan costs 18 credits, 13 are left of the budget of this folder: --limit 2 fits."
    planned, stopped = folder("plan", "jobs.yaml"), folder.buy(server)
    assert (planned.code, stopped.code) == (0, 5)
    assert f"jobs.yaml: warning: {why} A run stops here with exit 5." in " ".join(planned.err.split())
    assert why in " ".join(stopped.err.split())
    assert folder.buy(server, "--limit", "2").code == 0
    assert "1 is left of the budget" in " ".join(folder("plan", "jobs.yaml").err.split())
    assert server.double_spent() == []


def test_frames_too_heavy_to_be_sent_are_made_lighter_on_request(folder: Folder, server: FaultServer) -> None:
    for name in ("a.png", "b.png"):
        Image.effect_noise((1920, 1080), 90).convert("RGB").resize((2560, 1440), 0).save(
            folder.path / "frames" / name, compress_level=0
        )
    plain = folder.sweep(1)
    refused = folder("check", "jobs.yaml")
    assert refused.code == 2
    assert "after base64" in refused.err
    plain.write_text(plain.read_text().replace("jobs:\n", "shrink: true\njobs:\n"))
    done = folder.buy(server)
    assert done.code == 0, done.err
    assert "the frames will be made lighter" in done.err
    (posted,) = server.ledger
    assert int(posted.headers["content-length"]) <= 20_000_000
    for image in posted.body["images"]:
        content = base64.b64decode(image.removeprefix("data:image/jpeg;base64,"))
        assert Image.open(BytesIO(content)).size == (2560, 1440)
    frame = folder.path / "frames/a.png"
    frame.write_bytes(frame.read_bytes())
    assert folder.buy(server).code == 0
    assert len(server.ledger) == 1


def test_what_is_shown_already_is_not_written_again_until_a_job_a_pick_or_the_page_itself_changes(
    folder: Folder, server: FaultServer
) -> None:
    folder.sweep(2)
    assert folder.buy(server).code == 0
    written = [folder.path / "out/jobs" / name for name in ("report.html", "results.csv", "results.jsonl")]

    def times() -> list[int]:
        return [path.stat().st_mtime_ns for path in written]

    before = times()
    assert folder.buy(server).code == 0
    assert times() == before

    (folder.path / "jobs.picks.yaml").write_text("picks: []\n")
    key = folder("status", "jobs.yaml", "--json").document["jobs"][0]["key"]
    (folder.path / "jobs.picks.yaml").write_text(f"picks: [{{key: {key}, name: job-1, stars: 4, note: warm}}]\n")
    assert folder.buy(server).code == 0
    assert times()[0] > before[0]
    assert "warm" in written[0].read_text()

    written[0].unlink()
    assert folder.buy(server).code == 0
    shutil.rmtree(folder.path / "out/jobs/posters")
    assert folder.buy(server).code == 0
    assert any((folder.path / "out/jobs/posters").glob("*.webp"))
    folder.sweep(3)
    assert folder.buy(server).code == 0
    assert "job-3" in written[0].read_text()


def test_a_run_with_nothing_to_send_needs_no_key(folder: Folder, server: FaultServer) -> None:
    folder.sweep(2)
    assert folder.buy(server).code == 0
    (folder.path / "out/jobs/report.html").unlink()

    done = folder("run", "jobs.yaml", "--base-url", server.base_url, VIDU_API_KEY="")

    assert (done.code, (folder.path / "out/jobs/report.html").exists()) == (0, True), done.err
    folder.sweep(3)
    for word in ("--yes", "--limit=0"):
        left = folder("run", "jobs.yaml", "--base-url", server.base_url, word, VIDU_API_KEY="")
        assert (left.code, "no key for octopusx" in left.err) == ((2, True) if word == "--yes" else (0, False))
    assert len(server.ledger) == 2


def test_without_a_key_a_first_run_makes_nothing(folder: Folder, server: FaultServer) -> None:
    folder.sweep(1)
    refused = folder("run", "jobs.yaml", "--base-url", server.base_url, "--yes", VIDU_API_KEY="")
    assert (refused.code, "no key for octopusx: set OCTOPUSX_API_KEY or VIDU_API_KEY" in refused.err) == (2, True)
    assert not (folder.path / "out").exists()
