"""Every example is a test: it is sound, it is priced, and the quickstart really renders."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from conftest import Folder, Result

from vidu_run.spec.load import load

EXAMPLES = Path(__file__).parents[1] / "examples"
SPECS = sorted(path for path in EXAMPLES.rglob("*.yaml") if "out" not in path.relative_to(EXAMPLES).parts)


def names(path: Path) -> str:
    return path.relative_to(EXAMPLES).as_posix()


@pytest.mark.parametrize("path", SPECS, ids=names)
def test_an_example_is_sound_for_its_own_provider_and_priced_for_every_other(path: Path) -> None:
    assert load(path).jobs
    for provider in ("octopusx", "vidu", "vidu-cn", "local"):
        assert all(job.credits for job in load(path, provider).jobs)


@pytest.mark.parametrize("path", SPECS, ids=names)
def test_an_example_names_a_schema_that_is_there(path: Path) -> None:
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert (path.parent / first.partition("$schema=")[2]).is_file()


def copied(folder: Folder) -> Result:
    for source in ("jobs.yaml", "frames"):
        origin = EXAMPLES / "quickstart" / source
        target = folder.path / "quickstart" / source
        target.parent.mkdir(exist_ok=True)
        (shutil.copytree if origin.is_dir() else shutil.copy)(origin, target)
    return folder("quickstart/jobs.yaml", "--json", timeout=110)


def test_the_quickstart_ends_with_six_videos_that_decode_and_a_page(folder: Folder) -> None:
    import av

    done = copied(folder)
    assert done.code == 0, done.err
    out = folder.path / "quickstart/out/jobs.local"
    assert (out / "report.html").stat().st_size > 10_000
    videos = sorted((out / "videos").glob("*.mp4"))
    assert len(videos) == 6
    for path in videos:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            assert stream.codec_context.name == "h264"
            assert (stream.width, stream.height) == (1280, 720)
            assert sum(1 for _ in container.decode(stream)) == 96
