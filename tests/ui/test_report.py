"""The report from a disk in a real browser: it draws, it can be steered, it shuts nobody out."""

import io
from pathlib import Path

import pytest
from PIL import Image

from agg2exp_core.pipeline.outcomes import RunSummary, ScanOutcome
from agg2exp_core.report import publish_report
from tests.analysis.example import LABEL, ODD
from tests.report.making import analysed_store, written
from tests.ui.conftest import CHROMIUM

FLAGS = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
SCAN_PAGE = f"{LABEL}/scans/{ODD}.html"
PUBLISHED = "store/report/index.html"

pytestmark = [
    pytest.mark.service,
    pytest.mark.timeout(300, func_only=True),
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"{CHROMIUM} is missing: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    """The folder of a report, and in it the store with the page that a run published."""
    folder = tmp_path_factory.mktemp("report")
    store = analysed_store(folder / "example")
    out = written(store, folder / "out")
    outcomes = [ScanOutcome("s0001", "done", n_classes=6), ScanOutcome("s9001", "failed", "a truncated file")]
    publish_report(store, RunSummary(store.uri, LABEL, outcomes, n_cohort=12))
    Path(store.uri).rename(out / "store")
    return out


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def show(browser, report):
    """Opens a page of the report; in the end nothing may have gone wrong, nor anything left the disk."""
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    wrong: list[str] = []

    def opened(name: str, wait_for_volume: bool = False):
        page = context.new_page()
        page.set_default_timeout(240_000)
        page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("requestfailed", lambda request: wrong.append(request.url))
        page.on(
            "request",
            lambda request: None if request.url.startswith(("file:", "data:")) else wrong.append(request.url),
        )
        page.goto((report / name).as_uri(), wait_until="commit")
        for chart in page.locator("[data-chart]").all():
            chart.locator("svg").wait_for()
        if wait_for_volume:
            shown(page, page.input_value("#choice-explained"))
        return page

    yield opened
    context.close()
    assert wrong == []


def shown(page, class_name: str) -> None:
    page.locator(f'#viewer-canvas[data-shown="{class_name}"]').wait_for()


def picture(page) -> bytes:
    return page.locator("#viewer-canvas").screenshot()


def n_colours(png: bytes) -> int:
    """Different colours of a picture; an empty canvas has one."""
    with Image.open(io.BytesIO(png)) as image:
        return len(image.convert("RGB").getcolors(maxcolors=1 << 24))


def labels_of_axis(page, chart: str, axis: int) -> list[str]:
    """Names along an axis of a chart, in the order of their places."""
    return page.evaluate(
        """([chart, axis]) => {
          const all = [...document.querySelectorAll(`#${chart} svg .role-axis-label`)][axis];
          const place = (text) => text.getBoundingClientRect()[axis ? "top" : "right"];
          const texts = [...all.querySelectorAll("text")];
          return texts.sort((a, b) => place(a) - place(b)).map((text) => text.textContent);
        }""",
        [chart, axis],
    )


def test_the_viewer_draws_and_follows_the_class(show):
    page = show(SCAN_PAGE, wait_for_volume=True)
    first = picture(page)
    assert n_colours(first) > 50
    assert "predicted: " in page.inner_text("#viewer-position")
    assert page.input_value("#choice-explained") != "aorta"
    page.select_option("#choice-explained", "aorta")
    shown(page, "aorta")
    aorta = picture(page)
    assert aorta != first
    assert "predicted: aorta" in page.inner_text("#viewer-position")
    page.select_option("#viewer-strongest", "")
    hidden = picture(page)
    assert hidden != aorta
    page.select_option("#viewer-tint", "none")
    assert picture(page) != hidden
    where = page.inner_text("#viewer-position")
    page.locator("#viewer-axis-2").fill("900")
    assert page.inner_text("#viewer-position") != where


def test_the_class_steers_chart_and_table(show):
    page = show(SCAN_PAGE)
    page.locator("#row details summary").click()
    page.select_option("#choice-explained", "heart")
    rows = page.locator("#row tbody tr:visible")
    assert rows.count() == 6
    assert set(rows.locator("td:nth-child(2)").all_inner_texts()) == {"heart"}
    page.wait_for_function("document.querySelectorAll('#row-chart-1 svg .mark-symbol path').length >= 6")


def test_sorting_the_matrix_moves_its_rows(show):
    page = show("index.html")
    orders = {}
    for order in ("model", "own", "name", "group"):
        page.select_option("#choice-order", order)
        page.wait_for_timeout(300)
        orders[order] = labels_of_axis(page, "matrix-chart-1", 1)
    assert orders["name"] == sorted(orders["model"])
    assert orders["own"][0] == "background"
    assert len({tuple(names) for names in orders.values()}) == 4


def test_the_matrix_tells_a_cell_that_is_pointed_at(show):
    page = show("index.html")
    cell = page.locator("#matrix-chart-1 svg .mark-rect path").first
    cell.scroll_into_view_if_needed()
    cell.hover()
    tip = page.locator("#vg-tooltip-element.visible")
    tip.wait_for()
    for word in ("explained class", "region", "value", "scans"):
        assert word in tip.inner_text()


def test_tables_sort_by_a_column_and_say_so(show):
    page = show("index.html")
    head = page.locator("#context th", has_text="Median")
    page.locator("#context details summary").click()
    medians = page.locator("#context tbody td:nth-child(6)")
    head.locator("button").click()
    down = [float(text.split()[0]) for text in medians.all_inner_texts()]
    assert head.get_attribute("aria-sort") == "descending"
    head.locator("button").click()
    up = [float(text.split()[0]) for text in medians.all_inner_texts()]
    assert head.get_attribute("aria-sort") == "ascending"
    assert down == sorted(down, reverse=True) != up == sorted(up)


def test_the_keyboard_reaches_every_control(show):
    page = show(SCAN_PAGE, wait_for_volume=True)
    wanted = set(page.eval_on_selector_all("select, input, #viewer-home", "all => all.map((one) => one.id)"))
    reached = set()
    for _ in range(80):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id"))
    assert wanted | {"viewer-canvas"} <= reached
    page.focus("#choice-explained")
    before = page.input_value("#choice-explained")
    page.keyboard.press("ArrowDown")
    assert page.input_value("#choice-explained") != before


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["index.html", SCAN_PAGE, PUBLISHED])
def test_no_serious_barrier(show, name, scheme):
    from axe_playwright_python.sync_playwright import Axe

    page = show(name)
    page.emulate_media(color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    found = Axe().run(page, options={"preload": False}).response["violations"]
    serious = [
        f"{one['id']}: {one['nodes'][0]['html'][:150]}"
        for one in found
        if one["impact"] in ("serious", "critical")
    ]
    assert serious == []


@pytest.mark.parametrize("name", ["index.html", SCAN_PAGE, PUBLISHED])
def test_nothing_sticks_out_of_a_narrow_page(show, name):
    page = show(name)
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_pictures_follow_the_dark(show):
    page = show("index.html")
    picture = page.locator("#matrix img")
    for scheme, name in (("light", "heat_map.png"), ("dark", "heat_map-dark.png")):
        page.emulate_media(color_scheme=scheme)
        picture.evaluate(
            """(one, name) => new Promise((done) => {
              const look = () => (one.currentSrc.endsWith("/" + name) ? done() : setTimeout(look, 20));
              look();
            })""",
            name,
        )


def test_a_page_without_webgl_still_says_what_it_knows(browser, report):
    page = browser.new_page()
    page.set_default_timeout(240_000)
    page.add_init_script("HTMLCanvasElement.prototype.getContext = () => null;")
    page.goto((report / SCAN_PAGE).as_uri())
    page.get_by_text("No volume to show").wait_for()
    page.locator("#row-chart-1 svg").wait_for()
    page.close()
