"""The gallery, parts of a queue, links, agreement and small screens, in a real browser."""

import base64
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from fixtures.browser import Server, Watch, at, ids, position, press, saved
from fixtures.review_files import MRS

from starsift.review.labels import LabelStore


def gallery(open_page: Callable, queue: str, user: str = "ada", **options):
    page = open_page(f"{queue}?view=gallery", user, **options)
    page.locator(".cell.current").wait_for()
    page.locator(".cell .name").filter(has_text=re.compile("^…$")).first.wait_for(state="detached")
    return page


def current(page) -> int:
    return int(page.locator(".cell.current").get_attribute("data-place"))


def given(store: LabelStore, number: int, who: str) -> dict[int, str | None]:
    """Positions of a round and the labels that a person gave."""
    states = store.current("emission", ids(number))
    return {ids(number).index(name): s[who].label for name, s in states.items() if who in s}


def shown(page) -> list[int]:
    """Positions in the list, as far as it is in sight."""
    return [int(text) - 1 for text in page.locator(".row .number").all_inner_texts()]


def chosen(page, text: str) -> None:
    page.locator("#selected-count", has_text=text).wait_for()


def wait_for_count(page, selector: str, count: int) -> None:
    # The page's own policy forbids `wait_for_function` to evaluate texts.
    if count:
        page.locator(selector).nth(count - 1).wait_for()
    else:
        page.locator(selector).first.wait_for(state="detached")
    assert page.locator(selector).count() == count


def test_rows_and_ranges_get_a_label_at_once(open_page: Callable, store: LabelStore) -> None:
    page = gallery(open_page, "emission-round-16", "gil")
    columns = page.locator(".gallery-row").first.locator(".cell").count()
    assert columns == 6
    page.keyboard.press("r")
    assert page.locator('.cell[aria-selected="true"]').count() == columns
    page.keyboard.press("1")
    saved(page, "6 spectra single peak, saved")
    assert given(store, 16, "gil") == dict.fromkeys(range(6), "single peak")
    wait_for_count(page, '.cell[title*="gil: single peak"]', 6)
    assert (current(page), page.locator('.cell[aria-selected="true"]').count()) == (6, 0)

    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Shift+ArrowDown")  # to place 13
    assert page.locator("#chosen-cells").inner_text() == "8 chosen"
    page.keyboard.press("2")
    saved(page, "8 spectra double peak, saved")
    assert given(store, 16, "gil") == {i: "single peak" if i < 6 else "double peak" for i in range(14)}
    page.keyboard.press("u")
    saved(page, "8 undone")
    assert given(store, 16, "gil") == dict.fromkeys(range(6), "single peak")
    page.keyboard.press("u")
    saved(page, "6 undone")
    assert given(store, 16, "gil") == {}
    wait_for_count(page, '.cell[title*="gil: "]', 0)


def test_one_after_the_other_by_key(open_page: Callable, store: LabelStore) -> None:
    page = gallery(open_page, "emission-round-16", "hal")
    for key in "1243":
        page.keyboard.press(key)
    saved(page, "#4 absorption, saved")
    assert given(store, 16, "hal") == dict(enumerate(["single peak", "double peak", "bad", "absorption"]))
    assert current(page) == 4


def test_choosing_by_mouse(open_page: Callable, store: LabelStore) -> None:
    page = gallery(open_page, "emission-round-16", "ina")
    cells = page.locator(".cell")
    cells.nth(1).click(modifiers=["Control"])
    cells.nth(3).hover()
    cells.nth(3).locator(".tick").click()
    cells.nth(5).click(modifiers=["Shift"])
    page.get_by_role("button", name="Choose this row").nth(1).click()
    cells.nth(6).click(modifiers=["Control"])  # not this one
    assert page.locator("#chosen-cells").inner_text() == "9 chosen"
    page.locator("#labels button", has_text="bad").click()
    saved(page, "9 spectra bad, saved")
    assert sorted(given(store, 16, "ina")) == [1, 3, 4, 5, 7, 8, 9, 10, 11]
    page.keyboard.press("Space")  # chooses, and does not click the button again
    assert page.locator("#chosen-cells").inner_text() == "1 chosen"
    assert len(given(store, 16, "ina")) == 9


def test_from_the_gallery_to_a_spectrum_and_back(open_page: Callable, store: LabelStore) -> None:
    page = gallery(open_page, "emission-round-16", "jan")
    page.locator(".cell").nth(8).click()
    at(page, 8)
    assert page.locator("#gallery").is_hidden()
    assert press(page, "3") != 8
    saved(page, "#9 absorption, saved")
    page.keyboard.press("ArrowLeft")
    at(page, 8)
    page.keyboard.press("g")
    page.locator(".cell.current").wait_for()
    assert current(page) == 8
    page.locator('.cell.current[title*="jan: absorption"]').wait_for()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("4")
    saved(page, "#3 bad, saved")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    at(page, 2)
    page.locator('#labels [aria-pressed="true"]', has_text="bad").wait_for()
    page.keyboard.press("g")
    page.keyboard.press("Escape")
    assert page.locator("#gallery").is_hidden()
    assert given(store, 16, "jan") == {8: "absorption", 2: "bad"}


def test_plots_are_drawn_where_they_are_seen(open_page: Callable) -> None:
    page = gallery(open_page, "emission-round-10", color_scheme="light")

    def dark(cell: int) -> int:
        return (
            page.locator(".cell canvas")
            .nth(cell)
            .evaluate(
                """(canvas) => {
                const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
                return data.filter((value, i) => i % 4 === 3 && value > 100).length;
            }"""
            )
        )

    page.locator("#gallery-ends", has_text="Å").wait_for()
    assert page.locator("#gallery-ends").inner_text() == "6519 – 6731 Å"
    page.wait_for_timeout(300)
    assert dark(0) > 100
    assert page.locator(".cell").count() < 60
    page.keyboard.press("z")
    page.locator("#gallery-ends", has_text="6310 – 6917 Å").wait_for()
    page.keyboard.press("End")
    assert current(page) == 59
    page.wait_for_timeout(300)
    assert dark(page.locator(".cell").count() - 1) > 100
    page.reload()
    page.locator(".cell.current").wait_for()


def test_read_only_gallery(open_page: Callable, results: Path, server: Server, store: LabelStore) -> None:
    guest = Server(results, server.labels, ("--read-only",))
    guest.start()
    try:
        before = store.current("emission")
        page = gallery(open_page, "emission-round-16", "kai", url=guest.url)
        for key in ("r", "1", "u"):
            page.keyboard.press(key)
        page.wait_for_timeout(300)
        assert page.locator("#labels button:enabled").count() == 0
        assert store.current("emission") == before
        page.context.close()
    finally:
        guest.kill()


def test_sorting_and_conditions(open_page: Callable, watch: Watch) -> None:
    page = open_page("emission-round-17", "leo")
    at(page, 0)
    page.get_by_text("Sort and filter").click()
    page.locator("#sort").select_option("rank")
    page.get_by_role("button", name="Descending").click()
    chosen(page, "12 of 12")
    at(page, 11)
    page.wait_for_timeout(300)
    assert shown(page)[:3] == [11, 10, 9]
    page.locator("#add-condition").select_option("rank")
    page.get_by_label("rank: from").fill("3")
    page.get_by_label("rank: to").fill("7")
    page.get_by_label("rank: to").press("Enter")
    chosen(page, "5 of 12")
    at(page, 7)  # the first of what is left
    page.locator("#list").click(position={"x": 1, "y": 1})  # keys are for the page again
    assert press(page, "ArrowRight") == 6
    assert page.locator("#place").inner_text() == "2 / 5"
    assert [press(page, "ArrowRight") for _ in range(3)] == [5, 4, 3]
    page.keyboard.press("ArrowRight")
    page.get_by_role("alert").filter(has_text="last spectrum of the selection").wait_for()

    page.reload()
    at(page, 3)
    chosen(page, "5 of 12")
    assert shown(page) == [7, 6, 5, 4, 3]
    page.get_by_text("Sort and filter").click()
    assert page.get_by_label("rank: to").input_value() == "7"
    page.get_by_label("rank: to").fill("many")
    page.get_by_label("rank: to").press("Enter")
    page.locator("#filter-error", has_text="rank is a number").wait_for()
    page.get_by_role("button", name="Show all").click()
    page.locator("#selected").wait_for(state="hidden")
    assert page.locator("#place").inner_text() == "4 / 12"
    watch.errors = [error for error in watch.errors if "422" not in error]  # the browser says so as well


@pytest.fixture
def labelled(server: Server) -> None:
    """Labels of two people in a round."""
    with LabelStore(server.labels) as store:
        for who, labels in {"pat": "ssddb", "quin": "sdddb"}.items():
            for name, letter in zip(ids(18), labels, strict=False):
                label = {"s": "single peak", "d": "double peak", "b": "bad"}[letter]
                store.add("emission", name, who, queue="emission-round-18", label=label)


@pytest.mark.usefixtures("labelled")
def test_filter_by_label(open_page: Callable) -> None:
    page = open_page("emission-round-18/0", "pat")
    at(page, 0)
    page.get_by_text("Sort and filter").click()
    counts = {"none": 3, "any": 5, "mine": 5, "not-mine": 3, "disputed": 1, "is:double peak": 3}
    for value, count in counts.items():
        page.locator("#label-filter").select_option(value)
        chosen(page, f"{count} of 8")
    page.locator("#label-filter").select_option("flagged")
    chosen(page, "0 of 8")
    page.locator("#veil", has_text="No spectrum of this queue").wait_for()
    page.locator("#label-filter").select_option("not-mine")
    chosen(page, "3 of 8")
    assert position(page) == 5
    page.locator("#list").click(position={"x": 1, "y": 1})
    press(page, "4")
    saved(page, "#6 bad, saved")
    chosen(page, "3 of 8")
    page.get_by_role("button", name="Choose again").click()
    chosen(page, "2 of 8")
    page.locator("#label-filter").select_option("")
    page.locator("#selected").wait_for(state="hidden")


@pytest.mark.usefixtures("labelled")
def test_agreement_leads_to_the_spectra_in_dispute(open_page: Callable) -> None:
    page = open_page("emission-round-18/0", "pat")
    at(page, 0)
    page.get_by_role("button", name="Agreement").click()
    row = page.locator("#pairs tbody tr", has_text="pat, quin")
    row.wait_for()
    # Four of five are equal; by chance 2/5 1/5 + 2/5 3/5 + 1/5 1/5 = 9/25 would be.
    assert row.locator("td").all_inner_texts()[:4] == ["pat, quin", "5", "1", f"{(0.8 - 0.36) / 0.64:.2f}"]
    counts = page.locator("#label-counts tbody tr", has_text="double peak").locator("td").all_inner_texts()
    assert counts == ["double peak", "2", "3"]
    row.get_by_role("button", name="Show 1").click()
    chosen(page, "1 of 8")
    at(page, 1)
    assert page.locator("#differ").inner_text() == "pat and quin disagree"
    page.locator("#badges", has_text="Disagreement").wait_for()


def test_finding_names_and_coordinates(open_page: Callable) -> None:
    page = open_page("emission-round-17", "mia")
    at(page, 0)
    page.locator("#find").fill(ids(17)[5][-3:])
    page.locator("#find").press("Enter")
    chosen(page, "1 of 12")
    at(page, 5)
    ra = float(ids(17)[9][-3:])  # degrees, as the fixture has it
    page.locator("#find").fill(f"{ra + 0.001} 5 4 arcsec")
    page.locator("#find").press("Enter")
    at(page, 9)
    page.locator("#find").fill(f"{ra} 5 1.5 deg")
    page.locator("#find").press("Enter")
    chosen(page, "3 of 12")
    page.locator("#find").fill("")
    page.locator("#find").press("Enter")
    page.locator("#selected").wait_for(state="hidden")


def test_links_to_a_spectrum(open_page: Callable, server: Server) -> None:
    page = open_page("binaries-spectra", "nia")
    page.locator('body[data-queue="binaries-spectra"]').wait_for()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.locator(".row").nth(2).click()
    at(page, 2)
    page.get_by_role("button", name="Copy link").click()
    page.get_by_role("alert").filter(has_text="in the clipboard").wait_for()
    link = page.evaluate("() => navigator.clipboard.readText()")
    assert link == f"{server.url}#binaries-spectra/{quote(MRS[3], safe='')}"
    other = open_page(link.partition("#")[2], "oli")
    at(other, 2)
    assert other.locator("#title").inner_text() == MRS[3]
    other.reload()
    at(other, 2)
    other.evaluate("() => { location.hash = '#emission-round-17'; }")
    other.locator('body[data-queue="emission-round-17"]').wait_for()


def test_links_that_lead_nowhere_say_so(open_page: Callable) -> None:
    page = open_page("binaries-spectra/nobody%2F1", "nia")
    page.get_by_role("alert").filter(has_text="“Binaries” has no spectrum “nobody/1”").wait_for()
    page.locator('body[data-queue="binaries-spectra"]').wait_for()
    page = open_page("nothing/x", "nia")
    page.get_by_role("alert").filter(has_text="there is no queue “nothing” here").wait_for()
    page.locator("body[data-position]").wait_for()


AXES = """() => [...Bokeh.index]
    .filter(({ model }) => model.type === "Figure")
    .map(({ model }) => [model.below, model.left].map((axes) => axes[0].axis_label))"""


def test_measured_values_have_groups_units_and_descriptions(open_page: Callable) -> None:
    page = open_page("binaries-spectra/0")
    at(page, 0)
    groups = [text.lower() for text in page.locator("#metadata .group-name").all_inner_texts()]
    assert groups[:2] == ["classification", "velocities"]
    rv = page.locator("#metadata div", has_text="rv_1")
    assert rv.inner_text().split("\n")[-1].endswith("km/s")
    assert rv.get_attribute("title").startswith("Lowest heliocentric radial velocity")
    labels = page.evaluate(AXES)
    assert ["vacuum wavelength (Å)", "flux (counts)"] in labels
    assert ["velocity (km/s)", "derivatives, scaled"] in labels
    page = open_page("bhb-candidates/1")
    at(page, 1)
    assert ["vacuum wavelength (Å)", "flux (10⁻¹⁷ erg s⁻¹ cm⁻² Å⁻¹)"] in page.evaluate(AXES)
    link = page.get_by_role("link", name="SDSS archive").get_attribute("href")
    assert link.endswith("?plateid=266&mjd=51602&fiberid=2")


def test_a_spectrum_is_explained(open_page: Callable) -> None:
    page = open_page("binaries-spectra/0")
    at(page, 0)
    page.keyboard.press("e")
    page.locator("#story li", has_text="in the catalogue: SB").wait_for()
    assert page.locator("#story-name").inner_text() == page.locator("#title").inner_text()
    page.keyboard.press("ArrowRight")  # for the dialog, not for the queue
    page.keyboard.press("Escape")
    page.locator("#story").wait_for(state="hidden")
    assert position(page) == 0


def test_models_are_drawn_when_asked_for(open_page: Callable) -> None:
    page = open_page("binaries-spectra/0", color_scheme="light")
    at(page, 0)
    asked = []

    def answer(route) -> None:
        asked.append(route.request.url)
        encoded = {
            "wavelength": np.linspace(5150, 5300, 50),
            "whole": np.full(50, 1000),
            "one": np.full(50, 1020),
        }
        texts = {k: base64.b64encode(v.astype("<f4").tobytes()).decode() for k, v in encoded.items()}
        curves = [{"name": "model", "flux": texts["whole"]}, {"name": "star 1: <b>", "flux": texts["one"]}]
        route.fulfill(json={"wavelength": texts["wavelength"], "curves": curves})

    page.route("**/model", answer)
    before = page.locator("#window").screenshot()
    page.keyboard.press("m")
    page.locator("#model-key", has_text="star 1: <b>").wait_for()
    page.wait_for_timeout(300)
    assert page.locator("#window").screenshot() != before
    assert press(page, "ArrowRight") == 1
    page.locator("#model-key", has_text="star 1: <b>").wait_for()
    page.keyboard.press("ArrowLeft")
    at(page, 0)
    page.locator("#model-key", has_text="star 1: <b>").wait_for()
    assert [url.split("/")[-2] for url in asked] == ["0", "1"]  # kept with the spectrum
    page.keyboard.press("m")
    assert page.locator("#model-key").is_hidden()
    page = open_page("emission-round-10/0")
    at(page, 0)
    assert page.get_by_role("button", name="Model").is_hidden()


def test_a_name_on_the_command_line_is_not_asked_for(
    open_page: Callable, results: Path, tmp_path: Path
) -> None:
    named = Server(results, tmp_path / "labels.sqlite", ("--user", "otto"))
    named.start()
    try:
        page = open_page("emission-round-17", None, url=named.url)
        at(page, 0)
        assert page.locator("#name-dialog").is_hidden()
        assert page.locator("#who").inner_text() == "otto"
        press(page, "1")
        saved(page, "single peak, saved")
        with LabelStore(named.labels, read_only=True) as store:
            assert list(store.current("emission")[ids(17)[0]]) == ["otto"]
        page.context.close()
    finally:
        named.kill()


OUTSIDE = """() => [...document.querySelectorAll("body button, body select, body input, body figure, h1")]
    .filter((element) => element.checkVisibility({ visibilityProperty: true }))
    .filter((element) => !element.closest(".tools, dialog"))
    .filter((element) => {
        const { left, right } = element.getBoundingClientRect();
        return left < -0.5 || right > innerWidth + 0.5;
    })
    .map((element) => element.id || element.className || element.textContent)"""
CUT_OFF = """() => [...document.querySelectorAll(".queue, .queue span")]
    .filter((element) => element.scrollWidth > element.clientWidth + 1 && element.clientWidth)
    .map((element) => element.textContent)"""


@pytest.mark.parametrize(
    ("width", "height"), [(390, 844), (768, 1024), (900, 1200), (1024, 768), (1280, 800)]
)
def test_screens(open_page: Callable, width: int, height: int) -> None:
    page = open_page("binaries-spectra/0", "sam", reduced_motion="reduce")
    at(page, 0)
    page.set_viewport_size({"width": width, "height": height})
    page.wait_for_timeout(300)
    assert page.evaluate(OUTSIDE) == []
    assert page.locator("#whole").bounding_box()["width"] > 0.45 * width
    if width <= 1024:
        page.get_by_role("button", name="Queues and spectra").click()
        page.locator("body.side-open #queues").wait_for()
        page.wait_for_timeout(300)
        assert page.evaluate(OUTSIDE) == []
        assert page.locator(".queue").last.is_visible()
        box = page.locator("#queues").bounding_box()
        assert page.locator("#queues").evaluate("(q) => q.scrollHeight <= q.clientHeight + 1")
        assert box["width"] > 200
    assert page.evaluate(CUT_OFF) == []
    page.get_by_role("button", name=re.compile("Emission, round 17")).click()
    page.locator('body[data-queue="emission-round-17"]').wait_for()
    page.wait_for_timeout(300)
    if width <= 1024:
        assert page.locator("body.side-open").count() == 0
        page.get_by_role("button", name="Facts").click()
        page.wait_for_timeout(300)
        assert page.get_by_role("button", name="Copy link").is_visible()
        assert page.evaluate(OUTSIDE) == []
        page.keyboard.press("Escape")
        page.wait_for_timeout(300)
    page.get_by_role("button", name="Gallery").click()
    page.locator(".cell.current").wait_for()
    assert page.evaluate(OUTSIDE) == []
    assert page.locator(".gallery-row").first.locator(".cell").count() == {390: 2, 768: 4}.get(width, 5)
    page.locator(".cell").nth(1).click()
    page.locator("#gallery").wait_for(state="hidden")
    assert position(page) == 1
