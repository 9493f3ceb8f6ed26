"""A real browser without a window: Debian's chromium, driven by its chromedriver."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service


@contextmanager
def browser(profile: Path) -> Iterator[webdriver.Chrome]:
    """Dark, 1400 pixels wide; `profile` is a folder for what it keeps."""
    driver, program = shutil.which("chromedriver"), shutil.which("chromium") or shutil.which("google-chrome")
    if driver is None or program is None:
        assert not os.environ.get("HSM_TEST_ENGINE"), "scripts/test sees to a browser"
        pytest.skip("no chromium with a chromedriver")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    root = ("--no-sandbox",) if os.geteuid() == 0 else ()
    for word in (*root, "--headless=new", "--disable-gpu", "--window-size=1400,900", f"--user-data-dir={profile}",
                 "--disable-dev-shm-usage"):  # fmt: skip
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    window = webdriver.Chrome(options=options, service=Service(executable_path=driver))
    window.set_script_timeout(60)
    try:
        yield window
    finally:
        window.quit()
