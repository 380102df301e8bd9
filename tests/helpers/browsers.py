"""A Chromium for tests that look at pages as a browser shows them."""

import os
import shutil
from contextlib import contextmanager
from importlib.util import find_spec

import pytest


def missing(words):
    """Skip the test, or fail it where `make browser-test` wants it to run."""
    if os.environ.get("KD2M_BROWSER") == "required":
        pytest.fail(words)
    pytest.skip(words)


@contextmanager
def chromium():
    """The browser of this machine."""
    for module in ("playwright", "axe_playwright_python"):
        if find_spec(module) is None:
            missing(f"{module} is not installed: pip install 'kd2m-theory[browser]', or make browser-test")
    found = [shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")]
    path = next(filter(None, found), None)
    if path is None:
        missing("no Chromium on this machine; install one, for example with apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        # Chromium refuses to run as root, as in a container, with its sandbox on.
        browser = play.chromium.launch(executable_path=path, args=["--no-sandbox"] if os.geteuid() == 0 else [])
        yield browser
        browser.close()
