"""A browser, its pages, and where their pictures go."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE_MS = 60_000


@pytest.fixture
def page() -> Iterator[object]:
    """Open an empty page in headless Chromium."""
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is missing (tests/services/install)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.set_default_timeout(PATIENCE_MS)
        yield page
        browser.close()


@pytest.fixture
def picture(page, request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], None]:
    """Take a picture of the page: into the folder of --screenshots, or away."""
    folder = Path(request.config.getoption("screenshots") or tmp_path)

    def take(name: str) -> None:
        page.wait_for_timeout(1000)  # for what still moves
        page.screenshot(path=folder / f"ui_{name}.png")

    return take
