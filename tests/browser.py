"""Chromium for the tests: one headless page per `with`, always the system's own browser, nothing downloaded."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import pytest
from playwright.sync_api import Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@contextmanager
def chromium_page(**options: Any) -> Iterator[Page]:
    """A page in a fresh browser context; options are Playwright's for a context (viewport, color_scheme, …).

    Skips the test where there is no Chromium, except under CI=true, where that is a failure.
    """
    executable = _chromium()
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=arguments)
        try:
            yield browser.new_context(**options).new_page()
        finally:
            browser.close()


def _chromium() -> str:
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    return found or _do_without("no Chromium on PATH (on Debian: apt-get install chromium)")


def _do_without(reason: str) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
