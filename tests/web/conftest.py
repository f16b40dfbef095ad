"""Windows of the browser, and a site to look at."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page

from scripts.settings import Settings
from tests.web.site import Site, serve


@pytest.fixture
def windows(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens windows, each with a session of its own; none may have complained at the end."""
    contexts, complaints = [], []

    def open_window(**options: object) -> Page:
        contexts.append(browser.new_context(**options))  # type: ignore[arg-type]
        page = contexts[-1].new_page()
        page.set_default_timeout(10_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: complaints.append(message.text))
        page.on("dialog", lambda dialog: complaints.append(dialog.message))
        return page

    yield open_window
    for context in contexts:
        context.close()
    # The servers may be gone before the last question: that, and our own 4xx and 5xx, is no bug.
    remarks = ("Failed to load resource", "Autofocus processing was blocked")
    assert [text for text in complaints if not any(remark in text for remark in remarks)] == []


@pytest.fixture
def site(filled: Settings, windows: Callable[..., Page]) -> Iterator[Site]:
    for entrance in serve(filled):
        yield Site(filled, entrance, windows)
