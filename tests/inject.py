"""`make inject`: break every sync, rename and send of a run of three jobs, one at a time, then audit what it left.

First the calls of a clean run are counted. Then each of them meets a kill and, in runs of their own, errors of the
disk or the network, once and for good; after that the command runs undisturbed until it ends by itself. Prints one
table; ends with 1 if a job was bought twice, a bought task is unknown, a file is damaged, a POST began after a commit
that failed, an error was not told as one, or a fault that was planned never happened.

strace counts the calls of each thread apart. So a call is reached, whichever way is open: as the first of all threads
with its number; in the first thread, with the others left untraced; or by its path.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sqlite3
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from conftest import Folder, Result
from fault_server import FaultServer, markers
from storm import Tally, a_video, audit
from strace import RENAMES, SENDS, SYNCS, Call, Traced, run, why_not

from vidu_run.journal.file import create

OUT = "out/jobs"
LOG = f"{OUT}/state.db-wal"
KILL = "signal=KILL"
FILE_FAULTS = (KILL, "error=EIO", "error=ENOSPC+")
"""A plus: from that call on, as on a disk that stays broken."""

EVERY_FILE_FAULT = (*FILE_FAULTS, "error=ENOSPC", "error=EIO+")
SEND_FAULTS = (KILL, "error=EIO", "error=ENOSPC")

RANDOM = re.compile(r"\.[0-9a-f]{16}\.new")
CLOSING = b'"]}'
HTTP = (b"POST ", b"GET ")
TRIES = 3


@dataclass(frozen=True, slots=True)
class Site:
    """One call of the clean run, and how to reach it: number `when` in its thread, of the first thread alone unless
    `threads`, and with `only` of the calls about this place alone."""

    start: str
    name: str
    place: str
    when: int
    threads: bool = True
    only: bool = False

    def __str__(self) -> str:
        return f"{self.name} {self.when} {self.place} ({self.start})"


@dataclass
class Row:
    """What one kind of call came to under one fault."""

    runs: int = 0
    hit: int = 0
    ended_earlier: int = 0
    elsewhere: int = 0
    codes: Counter[int] = field(default_factory=Counter)
    tally: Tally = field(default_factory=Tally)


@dataclass
class Found:
    """One injected run: whether the fault happened, to which place, and all that was wrong."""

    site: Site
    fault: str
    code: int
    place: str | None
    tally: Tally
    wrong: list[str]


def fresh(folder: Folder, server: FaultServer) -> None:
    """Nothing is there."""


def founded(folder: Folder, server: FaultServer) -> None:
    """An empty state is there, so that the calls of its making do not stand in front of all others."""
    create(folder.path / OUT)


def delivered(folder: Folder, server: FaultServer) -> None:
    """Everything is done; only the small pictures of the page are to be made."""
    folder.buy(server)
    shutil.rmtree(folder.path / OUT / "posters")


STARTS: dict[str, Callable[[Folder, FaultServer], None]] = {
    start.__name__: start for start in (fresh, founded, delivered)
}


def counted(start: str, calls: Sequence[Call], root: Path) -> list[Call]:
    """Each call is broken from one start only."""
    pictures = [call for call in calls if "/posters/" in f"{place_of(call, calls, root)}/"]
    if start == "delivered":
        return pictures
    if start == "founded":
        return [call for call in calls if call not in pictures]
    made = next(at for at, call in enumerate(calls) if call.name == "fsync" and call.file == str(root / OUT))
    return list(calls[: made + 1])


def a_folder(where: Path, start: str, server: FaultServer) -> Folder:
    folder = Folder(where)
    spec = folder.sweep(3)
    spec.write_text(spec.read_text().replace("job-{{ seed }}", "shot-{{ seed }}/clip"))
    STARTS[start](folder, server)
    return folder


def place_of(call: Call, calls: Sequence[Call], root: Path) -> str:
    """A file as the command writes its path, or what is being sent; empty for a socket that is not the API's."""
    if call.name not in SENDS:
        path = call.file.removesuffix("(deleted)")
        return RANDOM.sub(".new", path.removeprefix(f"{root}/"))
    heads = [c for c in calls if c.name in SENDS and c.file == call.file and c.payload.startswith(HTTP)]
    head = next((c for c in reversed(heads) if c.begin <= call.begin), None)
    if head is None:
        return ""
    if head.payload.startswith(b"GET "):
        return "GET"
    piece = sum(1 for c in calls if c.name in SENDS and c.file == call.file and head.begin <= c.begin <= call.begin)
    return f"POST, piece {piece}{', the last' if call.payload.endswith(CLOSING) else ''}"


def sites(start: str, traced: Traced, root: Path) -> tuple[list[Site], list[str]]:
    """Every call of a clean run that counts from this start, and those that no way leads to."""
    first = traced.calls[0].thread
    wanted = [call for call in traced.calls if call.name in (*SYNCS, *RENAMES, *SENDS)]
    found: dict[tuple[object, ...], Site] = {}
    unreached = []
    for call in counted(start, wanted, root):
        place = place_of(call, wanted, root)
        if not place:
            continue
        site = way_to(Site(start, call.name, place, 0), call, wanted, call.thread == first)
        if site is None:
            unreached.append(f"{call.name} of {place} ({start})")
        else:
            found[site.name, site.when, site.threads, site.only and place] = site
    return list(found.values()), unreached


def way_to(site: Site, call: Call, calls: Sequence[Call], in_first: bool) -> Site | None:
    number, leads = standing(call, [c for c in calls if c.name == call.name])
    if in_first:
        return replace(site, when=number, threads=False)
    by_path, leads_there = standing(call, [c for c in calls if c.name == call.name and c.file == call.file])
    # Of the journal's own syncs the POSTs beside them are to be seen.
    if leads_there and call.name != "fdatasync" and not RANDOM.search(call.file):
        return replace(site, when=by_path, only=True)
    return replace(site, when=number) if leads else None


def standing(call: Call, among: Sequence[Call]) -> tuple[int, bool]:
    """Its number in its own thread, and whether no other thread got so far before it."""
    number = sum(1 for c in among if c.thread == call.thread and c.begin <= call.begin)
    before: Counter[int] = Counter(c.thread for c in among if c.begin < call.begin and c.thread != call.thread)
    return number, all(count < number for count in before.values())


def struck(site: Site, fault: str, traced: Traced) -> Call | None:
    """The call that met the fault."""
    same = [c for c in traced.calls if c.name == site.name]
    if fault != KILL:
        return next((c for c in same if c.injected), None)
    if traced.code != -9:
        return None
    fatal = [c for c in same if c.end is None and standing(c, same)[0] >= site.when]
    return fatal[-1] if fatal else None


def inject(site: Site, fault: str, where: Path, video: bytes) -> Found:
    """One run with one fault, then runs without until the command ends by itself, then the audit."""
    stays = fault.endswith("+")
    tally, wrong = Tally(), []
    with FaultServer(video) as server:
        folder = a_folder(where, site.start, server)
        what = f"{site.name}:{fault.removesuffix('+')}:when={site.when}{'+' if stays else ''}"
        only = (site.place, str(folder.path / site.place)) if site.only else ()
        traced = run(folder, server, what, site.threads, only)
        hit = struck(site, fault, traced)
        place = place_of(hit, [c for c in traced.calls if c.name == site.name], folder.path) if hit else None
        wrong += misfired(site, traced, hit)
        if hit:
            wrong += judged(fault, traced, hit, place or "", folder, server)
        last = until_ended(folder, server)
        if last.code not in (0, 4):
            wrong.append(f"does not come to an end: exit {last.code}, {last.err[-200:]}")
        audit(folder, server, "octopusx", tally)
        if tally.bad(lists=False):
            wrong.append(f"audit: {tally}")
    shutil.rmtree(where)
    return Found(site, fault, traced.code, place, tally, [f"{site}, {fault}: {what}" for what in wrong])


def until_ended(folder: Folder, server: FaultServer) -> Result:
    for _ in range(4):
        last = folder("run", "jobs.yaml", "--base-url", server.base_url, "--yes")
        if last.code in (0, 4):
            break
    return last


def misfired(site: Site, traced: Traced, hit: Call | None) -> Iterator[str]:
    """A fault that did not happen although its call was there, and a run that broke down instead of ending."""
    if "Traceback" in traced.err or traced.code == 70:
        yield f"broke down: {traced.err[-400:]}"
    counts = Counter(c.thread for c in traced.calls if c.name == site.name)
    if hit is None and max(counts.values(), default=0) >= site.when:
        yield f"planned, its call was there, and it did not happen (exit {traced.code})"


def judged(fault: str, traced: Traced, hit: Call, place: str, folder: Folder, server: FaultServer) -> Iterator[str]:
    """What a run did wrong after the fault that it met."""
    if fault == KILL:
        return
    if hit.name in SENDS:
        yield from judged_send(traced, hit, place, folder, server)
        return
    # SQLite itself pays no heed to a folder that it could not sync, a page does without small pictures, and a table
    # for spreadsheets that cannot be written is told and costs nothing else.
    heedless = place.endswith("/posters") or "/posters/" in place or (hit.name == "fdatasync" and place == OUT)
    heedless = heedless or f"{OUT}/results.csv: cannot be written" in traced.err
    if traced.code != 7 and not (heedless and traced.code == 0):
        yield f"exit {traced.code} after an error at {place}: {traced.err[-300:]}"
    if ".db.new" in place and not heedless and server.ledger:
        yield "bought without a state"
    if place == LOG:
        posts = traced.posts()
        if unseen := set(markers(server.ledger)) - {post.marker.decode() for post in posts}:
            yield f"POSTs that the trace does not show: {unseen}"
        # One that an earlier commit permitted may begin at the same moment in the other thread.
        if unpermitted := [post.marker for post in posts if not traced.permitted(post, folder.path / LOG)]:
            yield f"POSTs without a synced commit: {unpermitted}"


def judged_send(traced: Traced, hit: Call, place: str, folder: Folder, server: FaultServer) -> Iterator[str]:
    """A broken connection: not sent and tried again up to the closing bytes, in doubt from then on."""
    if traced.code not in (0, 4):
        yield f"exit {traced.code} after a broken connection: {traced.err[-300:]}"
    if not place.startswith("POST"):
        return
    posts = traced.posts()
    post = next(post for post in posts if hit in post.pieces)
    marker = post.marker.decode()
    state = state_of(folder, marker)
    # That the connection is gone is noticed with the next piece, which may be the closing one.
    noticed_late = post.pieces.index(hit) + 2 == max(len(each.pieces) for each in posts)
    if marker in markers(server.ledger):
        yield "arrived, though its sending broke"
    elif place.endswith("the last"):
        if state != "in_doubt":
            yield f"{state} when its last bytes were lost"
    elif noticed_late and state == "in_doubt":
        return
    elif state != "not_sent":
        yield f"{state} though its body was not out"
    elif not [p for p in server.accepted if p.body["payload"].split(".")[1] == marker.split(".")[1]]:
        yield "not sent, and not tried again"


def state_of(folder: Folder, marker: str) -> str:
    db = sqlite3.connect(folder.path / OUT / "state.db")
    try:
        row = db.execute("SELECT state FROM attempts WHERE marker = ?", (marker,)).fetchone()
    finally:
        db.close()
    return str(row[0]) if row else "unknown"


def planned(where: Path, video: bytes, rows: Sequence[str]) -> tuple[list[Site], list[str]]:
    """From clean runs: what to break, and what cannot be reached."""
    found, unreached = [], []
    for start in STARTS:
        with FaultServer(video) as server:
            folder = a_folder(where / start, start, server)
            traced = run(folder, server)
            assert traced.code == 0, traced.err
        more, not_these = sites(start, traced, folder.path)
        found += [site for site in more if not rows or site.name in rows]
        unreached += not_these
    return found, unreached


def work(plan: Sequence[tuple[Site, str]], where: Path, video: bytes, lanes: int) -> Iterator[Found]:
    """All injections; one that met another call than planned, or none, is tried again a few times."""

    def one(number: int, site: Site, fault: str) -> list[Found]:
        tries: list[Found] = []
        while len(tries) < TRIES and not (tries and (tries[-1].wrong or tries[-1].place == site.place)):
            tries.append(inject(site, fault, where / f"run-{number}-{len(tries)}", video))
        return tries

    begun = time.time()
    with ThreadPoolExecutor(lanes) as pool:
        jobs = [pool.submit(one, number, *item) for number, item in enumerate(plan)]
        for number, job in enumerate(jobs, 1):
            yield from job.result()
            sys.stdout.write(f"\r{number} of {len(jobs)}, {time.time() - begun:.0f} s ")
            sys.stdout.flush()
    print()


def table(found: Sequence[Found]) -> None:
    rows: dict[tuple[str, str], Row] = defaultdict(Row)
    for one in found:
        row = rows[one.site.name, one.fault]
        row.runs += 1
        row.hit += one.place is not None
        row.ended_earlier += one.place is None
        row.elsewhere += one.place not in (None, one.site.place)
        row.codes[one.code] += 1
        for name in ("doubts", "double", "unknown", "damaged"):
            setattr(row.tally, name, getattr(row.tally, name) + getattr(one.tally, name))
    print(f"{'call':10} {'fault':14} runs  hit early other doubts double unknown damaged  exits")
    for (name, fault), row in sorted(rows.items()):
        counted = f"{row.runs:4} {row.hit:4} {row.ended_earlier:5} {row.elsewhere:5}"
        audited = f"{row.tally.doubts:6} {row.tally.double:6} {row.tally.unknown:7} {row.tally.damaged:7}"
        exits = ", ".join(f"{'killed' if code == -9 else code}: {count}" for code, count in sorted(row.codes.items()))
        print(f"{name:10} {fault:14} {counted} {audited}  {exits}")
    print("early: the run had ended before that call; other: the fault met another call (each is tried again)")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", default="", help="only these, such as fsync,rename")
    parser.add_argument("--every", action="store_true", help="each error of the disk both once and for good")
    parser.add_argument("--lanes", type=int, default=2, help="runs at a time")
    wish = parser.parse_args()
    if why_not():
        print(why_not())
        return 1
    with tempfile.TemporaryDirectory() as scratch:
        where = Path(scratch).resolve()
        video = a_video(where)
        places, unreached = planned(where, video, [name for name in wish.calls.split(",") if name])
        for name, count in sorted(Counter(site.name for site in places).items()):
            print(f"{name}: {count} calls")
        for_files = EVERY_FILE_FAULT if wish.every else FILE_FAULTS
        plan = [(site, fault) for site in places for fault in (SEND_FAULTS if site.name in SENDS else for_files)]
        found = list(work(plan, where, video, wish.lanes))
    table(found)
    met = {(one.site.start, one.site.name, one.place, one.fault) for one in found}
    missed = [f"{s}, {fault}: never met" for s, fault in plan if (s.start, s.name, s.place, fault) not in met]
    wrong = [what for one in found for what in one.wrong]
    for text in [*wrong, *missed, *(f"{text}: no way leads there" for text in unreached)]:
        print(text)
    print("BAD" if wrong else "sound: nothing bought twice, nothing paid for lost, no file damaged, every error told")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
