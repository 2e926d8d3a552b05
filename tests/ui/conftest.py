"""One browser for a module."""

from __future__ import annotations

import pytest

from ui.chrome import Chrome


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    made = Chrome(tmp_path_factory.mktemp("chrome"))
    yield made
    made.close()


@pytest.fixture
def chrome(browser):
    """The browser, with nothing open and nothing written down."""
    browser.send("Page.navigate", url="about:blank")
    browser.console.clear()
    browser.asked.clear()
    return browser
