"""`vidu-run serve`: the local API until a signal comes."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping
from pathlib import Path

from vidu_run.config import quick_rendering
from vidu_run.console import Console
from vidu_run.errors import Exit, UsageTrouble
from vidu_run.local.account import Terms, sound_keys
from vidu_run.local.manner import Manner
from vidu_run.providers.catalogue import provider
from vidu_run.session import local_api


def keys_in(file: Path) -> frozenset[str]:
    """One key a line. Raises UsageTrouble, which shows none of them."""
    try:
        return sound_keys(file.read_text(encoding="utf-8").splitlines())
    except UnicodeDecodeError:
        raise UsageTrouble(f"--key-file {file}: is no text") from None
    except OSError as error:
        raise UsageTrouble(f"--key-file {file}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise UsageTrouble(f"--key-file {file}: {error}") from None


async def serve_until_stopped(
    folder: Path, port: int, terms: Terms, manner: Manner, environment: Mapping[str, str], console: Console
) -> int:
    """Port 0 takes a free one; the address goes to standard output. Raises Trouble where it cannot start."""
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with local_api(folder, port, quick_rendering(environment), terms, manner) as base_url:
        console.answer(f"{base_url}{provider('octopusx').routes.submit}")
        also = f"{provider('vidu').routes.submit}, described at /openapi.json"
        console.say(f"also {also}; tasks in {folder}; Ctrl-C ends it")
        await stopped.wait()
    return Exit.DONE
