"""What a shell offers behind <Tab>: specs, providers, names of jobs. Reads only, and is silent about any trouble."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from click.shell_completion import CompletionItem

MOST_BYTES = 1_000_000
"""A larger spec is not read for its provider: a shell must not stall."""


def specs(params: Mapping[str, Any], incomplete: str) -> list[CompletionItem]:
    """YAML files that begin so, but for picks; where there are none, whatever files the shell itself finds."""
    folder, name = _split(incomplete)
    files = [path for path in _listed(Path(folder or ".")) if path.suffix in (".yaml", ".yml")]
    found = sorted(path.name for path in files if not path.stem.endswith(".picks"))
    fitting = [f"{folder}{file}" for file in found if file.startswith(name) and _is_one_word(file)]
    return [CompletionItem(file) for file in fitting] or [CompletionItem(incomplete, type="file")]


def providers(params: Mapping[str, Any], incomplete: str) -> list[CompletionItem]:
    from vidu_run.providers.catalogue import PROVIDER_NAMES

    return _beginning(["local", *PROVIDER_NAMES], incomplete)


def schemas(params: Mapping[str, Any], incomplete: str) -> list[CompletionItem]:
    from vidu_run.providers.catalogue import PROVIDER_NAMES

    return _beginning(["spec", "prices", "picks", *PROVIDER_NAMES], incomplete)


def known_jobs(params: Mapping[str, Any], incomplete: str) -> list[CompletionItem]:
    spec = params.get("spec")
    return _jobs(params, Path(spec) if spec else None, incomplete)


def doubted_jobs(params: Mapping[str, Any], incomplete: str) -> list[CompletionItem]:
    from vidu_run.record import State

    also = {State.SUBMITTED, State.READY} if params.get("abandon") else set()
    return _words(params, incomplete, {State.IN_DOUBT, State.INTENT} | also)


def submitted_jobs(params: Mapping[str, Any], incomplete: str) -> list[CompletionItem]:
    from vidu_run.record import State

    return _words(params, incomplete, {State.SUBMITTED})


def _words(params: Mapping[str, Any], incomplete: str, states: set[Any]) -> list[CompletionItem]:
    """`[SPEC] JOB...`: the spec first, unless --state names the folder."""
    words: Sequence[str] = params.get("words") or ()
    if not words and params.get("state") is None:
        return specs(params, incomplete)
    offered = _jobs(params, None if params.get("state") else Path(words[0]), incomplete, states)
    return [item for item in offered if item.value not in words]


def _jobs(
    params: Mapping[str, Any], spec: Path | None, incomplete: str, states: set[Any] | None = None
) -> list[CompletionItem]:
    """Names in the state of the output folder; those a shell would take apart are left out."""
    try:
        names = _names(_folder(params, spec), states)
    except Exception:
        return []
    return _beginning([name for name in names if _is_one_word(name)], incomplete)


def _folder(params: Mapping[str, Any], spec: Path | None) -> Path:
    from vidu_run.folder import folder_of

    if named := params.get("state") or params.get("out"):
        return Path(named)
    if spec is None or spec.stat().st_size > MOST_BYTES:
        raise FileNotFoundError(spec)
    return folder_of(spec, params.get("provider"))


def _names(out: Path, states: set[Any] | None) -> list[str]:
    """In the order of the spec. Raises StorageTrouble where there is no state, or none that can be read."""
    from vidu_run.journal.reader import ReadJournal

    journal = ReadJournal(out)
    try:
        if states is None:
            return [sheet.name for sheet in journal.sheets()]
        keys = {record.key for record in journal.records() if record.state in states}
        return [sheet.name for sheet in journal.sheets_of(keys)]
    finally:
        journal.close()


def _beginning(words: list[str], incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(word) for word in words if word.startswith(incomplete)]


def _split(incomplete: str) -> tuple[str, str]:
    """The folder as it was typed, with its slash, and the beginning of a name."""
    folder, slash, name = incomplete.rpartition("/")
    return folder + slash, name


def _listed(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.expanduser().iterdir() if path.is_file()]
    except (OSError, RuntimeError):
        return []


def _is_one_word(text: str) -> bool:
    return shlex.quote(text) == text
