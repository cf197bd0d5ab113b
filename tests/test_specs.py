"""Whole specs, each with the text expected of it beside it: the jobs of a valid one, the lines about an invalid one.

A new case is two files, `NAME.yaml` and `NAME.expected`. Around it stand `FRAMES` and what lies in `specs/files`.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from vidu_run.errors import SpecTrouble
from vidu_run.key import key_of
from vidu_run.spec.load import Spec, load

SPECS = Path(__file__).parent / "specs"
FRAMES = {
    **{f"{place}-{half}.png": (32, 18) for place in ("harbour", "ridge", "k2", "k10") for half in "ab"},
    "wide-a.png": (64, 18),
    "strip-a.png": (80, 18),
}
"""Names below `frames`, and sizes in pixels; every frame has other bytes."""


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stage")
    shutil.copytree(SPECS / "files", folder, dirs_exist_ok=True)
    (folder / "frames").mkdir()
    for number, (name, size) in enumerate(FRAMES.items()):
        Image.new("RGB", size, (number * 20, 90, 90)).save(folder / "frames" / name)
    (folder / "frames" / "note.png").write_text("no picture\n")
    return folder


def cases(kind: str) -> list[str]:
    return sorted(path.stem for path in (SPECS / kind).glob("*.yaml"))


def expected(kind: str, name: str) -> list[str]:
    return (SPECS / kind / f"{name}.expected").read_text(encoding="utf-8").splitlines()


def loaded(stage: Path, kind: str, name: str, monkeypatch: pytest.MonkeyPatch) -> Spec:
    shutil.copy(SPECS / kind / f"{name}.yaml", stage)
    monkeypatch.chdir(stage)
    return load(Path(f"{name}.yaml"))


@pytest.mark.parametrize("name", cases("valid"))
def test_a_valid_spec_makes_the_jobs_expected(name: str, stage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = loaded(stage, "valid", name, monkeypatch).jobs
    listing = [f"{job.name} {json.dumps(job.request, ensure_ascii=False)}" for job in jobs]
    assert listing == expected("valid", name)


@pytest.mark.parametrize("name", cases("valid"))
def test_a_job_s_key_is_that_of_its_request_and_its_frames(
    name: str, stage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A spec's keys are put together from fields that jobs share; the recipe is that of a request by itself."""
    spec = loaded(stage, "valid", name, monkeypatch)
    assert [job.key for job in spec.jobs] == [key_of(spec.provider.name, job.request, job.images) for job in spec.jobs]


@pytest.mark.parametrize("name", cases("invalid"))
def test_an_invalid_spec_is_told_in_the_lines_expected(name: str, stage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SpecTrouble) as caught:
        loaded(stage, "invalid", name, monkeypatch)
    assert str(caught.value).split("\n") == expected("invalid", name)
    assert all(str(problem).isprintable() for problem in caught.value.problems)


@pytest.mark.parametrize("kind", ["valid", "invalid"])
def test_every_case_has_its_expected_text_and_every_text_its_case(kind: str) -> None:
    assert cases(kind)
    assert cases(kind) == sorted(path.stem for path in (SPECS / kind).glob("*.expected"))
    assert all(expected(kind, name) for name in cases(kind))
