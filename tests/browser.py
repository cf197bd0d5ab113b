"""Chromium for the tests: the system's own browser, headless, one for a whole session; nothing is downloaded."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

TIMES = "[...document.querySelectorAll('video')].map((video) => video.currentTime)"
PLAYED_A_WHILE = "(video) => new Promise((settle) => (video.ontimeupdate = () => video.currentTime > 0.2 && settle()))"


@contextmanager
def launched() -> Iterator[Browser]:
    """Skips the test where there is no Chromium, except under CI=true, where that is a failure."""
    executable = _chromium()
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=arguments)
        try:
            yield browser
        finally:
            browser.close()


@dataclass(slots=True)
class Visit:
    """A page in a window of its own, and what the browser met while it had it open."""

    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def from_elsewhere(self) -> list[str]:
        return [url for url in self.requests if not url.startswith(("file:", "data:", "blob:"))]


@contextmanager
def visited(browser: Browser, target: Path, script: str | None = None, **options: Any) -> Iterator[Visit]:
    """Open a file; `script` runs before the page's own, `options` are Playwright's for a context (viewport, …)."""
    context = browser.new_context(**options)
    try:
        if script is not None:
            context.add_init_script(script)
        page = context.new_page()
        seen = Visit(page)
        page.on("request", lambda request: seen.requests.append(request.url))
        page.on("console", lambda message: seen.complaints.append(message.text))
        page.on("pageerror", lambda error: seen.complaints.append(str(error)))
        page.on("dialog", lambda dialog: (seen.complaints.append(dialog.message), dialog.dismiss()))
        page.goto(target.as_uri())
        yield seen
    finally:
        context.close()


def _chromium() -> str:
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    return found or _do_without("no Chromium on PATH (on Debian: apt-get install chromium)")


def _do_without(reason: str) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
