"""The review app in a real browser: what people see and what is saved of what they do."""

import io
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from fixtures.browser import PROBABILITIES, Server, Watch, at, ids, position, press, saved
from PIL import Image

from starsift.review.labels import LabelStore

LABELS = ["single peak", "double peak", "absorption", "bad"]


def models(page, element: str) -> dict:
    """The x range of a plot, and where it marks lines."""
    return page.evaluate(
        """(element) => {
            const host = document.getElementById(element).firstElementChild;
            const view = [...Bokeh.index].find((view) => view.el === host);
            const marks = view.model.renderers.find((r) => r.glyph.type === "VSpan").data_source.data.x;
            const { start, end } = view.model.x_range;
            return { start, end, marks: [...marks] };
        }""",
        element,
    )


def ink(page, selector: str) -> int:
    """Pixels of an element that are dark, as curves and text are on the light page."""
    picture = np.asarray(Image.open(io.BytesIO(page.locator(selector).screenshot())).convert("L"))
    return int((picture < 100).sum())


def test_fifty_labels_by_keyboard(open_page: Callable, store: LabelStore) -> None:
    page = open_page("emission-round-10")
    at(page, 0)
    given = [LABELS[(7 * i) % 4] for i in range(50)]
    seen = [0]
    for name in given:
        seen.append(press(page, str(LABELS.index(name) + 1)))
    saved(page, "#50 bad, saved")
    assert seen == list(range(51))
    current = store.current("emission", ids(10))
    assert {name: states["ada"].label for name, states in current.items()} == dict(
        zip(ids(10)[:50], given, strict=True)
    )
    events = [store.history("emission", name) for name in ids(10)[:50]]
    assert all(len(history) == 1 and history[0].who == "ada" for history in events)
    assert [history[0].id for history in events] == sorted(history[0].id for history in events)
    assert page.locator("#counts").inner_text() == "50 of 60 labelled"
    assert page.locator("#people").inner_text().split() == ["ada", "50"]


def test_undo_goes_back_and_on(open_page: Callable, store: LabelStore) -> None:
    page = open_page("emission-round-11", "eve")
    at(page, 0)
    press(page, "1")
    press(page, "2")
    saved(page, "#2 double peak, saved")
    assert press(page, "u") == 1
    saved(page, "#2 undone")
    assert page.locator('#labels [aria-pressed="true"]').count() == 0
    assert page.locator("#history .undone").inner_text().startswith("eve: double peak")
    assert "eve" not in store.current("emission", [ids(11)[1]]).get(ids(11)[1], {})
    assert press(page, "3") == 2  # on to the spectrum that was on the screen
    saved(page, "#2 absorption, saved")
    history = store.history("emission", ids(11)[1])
    assert [event.label for event in history if event.label] == ["double peak", "absorption"]


def test_going_back_and_labelling_again_keeps_the_history(open_page: Callable, store: LabelStore) -> None:
    page = open_page("emission-round-11", "zoe")
    first = position(page)
    press(page, "1")
    saved(page, "single peak, saved")
    assert press(page, "ArrowLeft") == first
    page.locator('#labels [aria-pressed="true"]', has_text="single peak").wait_for()
    press(page, "2")
    saved(page, "double peak, saved")
    history = store.history("emission", ids(11)[first])
    assert [event.label for event in history if event.who == "zoe"] == ["single peak", "double peak"]
    assert store.current("emission")[ids(11)[first]]["zoe"].label == "double peak"


def test_a_key_held_down_labels_once(open_page: Callable, store: LabelStore) -> None:
    page = open_page("emission-round-12", "hans")
    start = position(page)
    for _ in range(5):
        page.keyboard.down("1")  # without going up: repeats
    saved(page, f"#{start + 1} single peak, saved")
    labelled = [name for name, states in store.current("emission", ids(12)).items() if "hans" in states]
    assert labelled == [ids(12)[start]]


def test_a_key_never_labels_a_spectrum_that_is_not_seen_yet(open_page: Callable, store: LabelStore) -> None:
    page = open_page("emission-round-12", "ivy")
    start = position(page)
    page.evaluate(
        """() => {
            for (const key of "1234") {
                document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
            }
        }"""
    )
    saved(page, f"#{start + 1} single peak, saved")
    said = {name: s["ivy"].label for name, s in store.current("emission", ids(12)).items() if "ivy" in s}
    assert said == {ids(12)[start]: "single peak"}


def test_flag_and_comment(open_page: Callable, store: LabelStore) -> None:
    page = open_page("emission-round-12", "flo")
    name = ids(12)[position(page)]
    page.keyboard.press("f")
    page.locator("#badges", has_text="Flagged").wait_for()
    page.keyboard.press("c")
    text = 'a <img src="x" onerror="alert(1)"> 1 peak & <b>2</b>'
    page.keyboard.type(text)  # digits and letters are text here, not labels
    page.keyboard.press("Enter")
    page.locator("#history li", has_text=text).wait_for()
    assert page.locator("#history img, #history b, #opinions img").count() == 0
    state = store.current("emission", [name])[name]["flo"]
    assert (state.label, state.flag, state.comment) == (None, True, text)
    page.keyboard.press("f")
    page.locator("#history li", has_text="flag removed").wait_for()
    assert not store.current("emission", [name])[name]["flo"].flag
    page.keyboard.press("c")
    page.keyboard.type(" and more")
    page.keyboard.press("Escape")
    assert page.locator("#comment").input_value() == text


def test_reload_keeps_place_and_progress(open_page: Callable) -> None:
    page = open_page("emission-round-13", "rita")
    at(page, 0)
    for _ in range(3):
        press(page, "4")
    saved(page, "#3 bad, saved")
    assert page.evaluate("() => location.hash") == f"#emission-round-13/{ids(13)[3]}"
    page.reload()
    at(page, 3)
    assert page.locator("#counts").inner_text() == "3 of 20 labelled"
    assert page.locator("#title").inner_text() == ids(13)[3]
    assert page.locator("#who").inner_text() == "rita"
    assert press(page, "1") == 4


def test_nothing_is_lost_when_the_server_is_killed(
    open_page: Callable, server: Server, watch: Watch, store: LabelStore
) -> None:
    watch.may_lose_server = True
    page = open_page("emission-round-14", "kim")
    at(page, 0)
    for _ in range(4):
        press(page, "1")
    saved(page, "#4 single peak, saved")
    server.kill()
    press(page, "2")  # the next one was prefetched
    page.get_by_role("alert").filter(has_text="NOT SAVED YET").wait_for()
    page.keyboard.press("f")
    page.get_by_role("alert").filter(has_text="2 changes are NOT SAVED YET").wait_for()
    server.start()
    page.get_by_role("alert").filter(has_text="everything is saved").wait_for()
    said = {name: states["kim"] for name, states in store.current("emission", ids(14)).items()}
    assert [said[name].label for name in ids(14)[:6]] == [*["single peak"] * 4, "double peak", None]
    assert said[ids(14)[5]].flag
    press(page, "3")
    saved(page, "#6 absorption, saved")


def test_what_waits_for_the_server_survives_a_reload(
    open_page: Callable, server: Server, watch: Watch, store: LabelStore
) -> None:
    watch.may_lose_server = True
    page = open_page("emission-round-14", "lou")
    start = position(page)
    page.route("**/label", lambda route: route.abort())  # as if the server were away for labels only
    press(page, "4")
    page.get_by_role("alert").filter(has_text="NOT SAVED YET").wait_for()
    page.unroute("**/label")
    page.on("dialog", lambda dialog: dialog.accept())  # "leave the page?"
    page.reload()
    page.locator("#rows .row", has_text="bad").first.wait_for()
    assert store.current("emission", ids(14))[ids(14)[start]]["lou"].label == "bad"


def test_two_people_never_get_the_same_spectrum(open_page: Callable, store: LabelStore) -> None:
    pages = {who: open_page("emission-round-15", who) for who in ("uma", "vic")}
    seen: dict[str, list[int]] = {who: [] for who in pages}
    for turn in range(5):
        for who, page in pages.items():
            seen[who].append(position(page))
            press(page, "12"[turn % 2])
    for who, page in pages.items():
        saved(page, f"#{seen[who][-1] + 1} single peak, saved")
    assert not set(seen["uma"]) & set(seen["vic"])
    current = store.current("emission", ids(15))
    assert {who: sum(who in states for states in current.values()) for who in seen} == {"uma": 5, "vic": 5}

    uma = pages["uma"]
    uma.get_by_label("Second opinion").check()
    uma.keyboard.press("4")  # the spectrum on the screen; then those that vic labelled
    others = {ids(15).index(name) for name, states in current.items() if "vic" in states}
    for _ in range(30):
        if position(uma) in others:
            break
        press(uma, "ArrowRight")
    disputed = position(uma)
    assert disputed in others
    uma.locator(".opinion", has_text="vic").wait_for()
    press(uma, "4")
    saved(uma, f"#{disputed + 1} bad, saved · vic: ")
    assert "1 disputed" in uma.locator("#counts").inner_text()
    uma.keyboard.press("ArrowLeft")
    at(uma, disputed)
    uma.locator("#badges", has_text="Disagreement").wait_for()
    vic = open_page(f"emission-round-15/{disputed}", "vic")
    vic.locator("#badges", has_text="Disagreement").wait_for()
    vic.locator(f'.row[title="{ids(15)[disputed]}"] .said.alarm').wait_for()


def test_read_only(open_page: Callable, results: Path, server: Server, store: LabelStore) -> None:
    guest = Server(results, server.labels, ("--read-only",))
    guest.start()
    try:
        before = store.current("emission")
        page = open_page("emission-round-13", "rita", url=guest.url)
        at(page, 0)
        page.locator("#badges", has_text="Read-only").wait_for()
        for key in ("1", "2", "f", "u", "c"):
            page.keyboard.press(key)
        assert press(page, "ArrowRight") == 1
        assert press(page, "ArrowLeft") == 0
        assert (
            page.locator("#labels button:enabled, #flag:enabled, #undo:enabled, #comment:enabled").count()
            == 0
        )
        assert store.current("emission") == before
        page.context.close()  # or it would ask a server that is gone
    finally:
        guest.kill()


def test_export_is_a_table_of_all_labels(open_page: Callable, store: LabelStore, tmp_path: Path) -> None:
    page = open_page("emission-round-12", "exa")
    press(page, "1")
    saved(page, "single peak, saved")
    with page.expect_download() as download:
        page.get_by_role("link", name="Export labels").click()
    download.value.save_as(tmp_path / "labels.parquet")
    table = pq.read_table(tmp_path / "labels.parquet")
    current = store.current("emission")
    expected = sorted(
        (name, who, state.label, state.flag)
        for name, states in current.items()
        for who, state in states.items()
    )
    found = table.select(["spectrum_id", "vetted_by", "label", "flag"]).to_pylist()
    assert [tuple(row.values()) for row in found] == expected
    assert ("exa", "single peak") in {row[1:3] for row in expected}


@pytest.mark.parametrize(
    ("queue", "plots"),
    [
        ("binaries-spectra", ["whole", "window", "ccf", "derivatives"]),
        ("mstars-vetting", ["whole", "window", "nearest"]),
        ("emission-round-10", ["whole", "window"]),
        ("bhb-candidates", ["whole", "window"]),
    ],
)
def test_every_search_is_drawn(open_page: Callable, queue: str, plots: list[str]) -> None:
    page = open_page(f"{queue}/0", color_scheme="light")
    at(page, 0)
    assert {name: ink(page, f"#{name}") > 100 for name in plots} == dict.fromkeys(plots, True)
    hidden = {"ccf", "nearest"} - set(plots)
    assert [name for name in hidden if page.locator(f"#{name}").is_visible()] == []
    assert page.locator("#metadata dt").count() >= 2
    assert page.locator("#links a").count() >= 2
    assert all(
        re.match("https://", link.get_attribute("href"))
        and link.get_attribute("rel") == "noopener noreferrer"
        for link in page.locator("#links a").all()
    )


def test_images_of_bhb_stars(open_page: Callable) -> None:
    page = open_page("bhb-candidates/1")
    at(page, 1)
    bands = page.locator("#extra-images figure")
    assert bands.locator("figcaption").all_inner_texts() == list("ugriz")
    sizes = bands.locator("canvas").evaluate_all("(all) => all.map((c) => [c.width, c.height])")
    assert sizes == [[4, 6]] * 5
    page.keyboard.press("ArrowLeft")  # this one has no image that can be used
    at(page, 0)
    assert page.locator("#extra-images").is_hidden()


def test_probabilities_of_the_network(open_page: Callable) -> None:
    page = open_page("emission-round-10/0")
    at(page, 0)
    values = page.locator("#probabilities meter").evaluate_all("(all) => all.map((m) => m.value)")
    assert values == pytest.approx(list(PROBABILITIES.values()), abs=1e-6)


def test_other_exposures_are_drawn_over_the_spectrum(open_page: Callable) -> None:
    page = open_page("binaries-spectra/0")
    at(page, 0)
    before = page.locator("#whole").screenshot()
    page.locator(".other").first.click()
    page.locator('.other[aria-pressed="true"]').wait_for()
    page.wait_for_timeout(200)
    assert page.locator("#whole").screenshot() != before
    page.locator(".other").first.click()
    page.locator('.other[aria-pressed="false"]').first.wait_for()


def test_view_keys(open_page: Callable) -> None:
    page = open_page("emission-round-10/0")
    at(page, 0)
    whole, window = models(page, "whole"), models(page, "window")
    assert (whole["start"], window["start"]) == (pytest.approx(6309.57, abs=0.1), pytest.approx(6519, abs=2))
    page.keyboard.press("z")
    assert models(page, "whole")["start"] == window["start"]
    page.keyboard.press("z")
    assert models(page, "whole")["start"] == whole["start"]
    page.locator("#velocity-number").fill("300")
    page.locator("#velocity-number").blur()
    moved = models(page, "window")["marks"]
    first = min(window["marks"])
    assert min(moved) == pytest.approx(first * (1 + 300 / 299792.458), abs=1e-3)
    page.keyboard.press("l")
    assert models(page, "window")["marks"] == []
    rough = page.locator("#window").screenshot()
    page.keyboard.press("s")
    page.locator('[role="radio"][aria-checked="true"]', has_text="1 px").wait_for()
    page.wait_for_timeout(200)
    assert page.locator("#window").screenshot() != rough
    page.keyboard.press("?")
    assert page.locator("#help").is_visible()
    page.keyboard.press("1")  # no label while the help is open
    page.keyboard.press("Escape")
    assert page.locator("#help").is_hidden()
    assert position(page) == 0


def test_the_name_is_asked_once(open_page: Callable, store: LabelStore) -> None:
    page = open_page("emission-round-12", None)
    page.locator("#name-dialog").wait_for()
    page.keyboard.type("nora")
    page.keyboard.press("Enter")
    press(page, "1")
    saved(page, "single peak, saved")
    assert any("nora" in states for states in store.current("emission", ids(12)).values())
    page.reload()
    page.locator("body[data-position]").wait_for()
    assert page.locator("#name-dialog").is_hidden()
    assert page.locator("#who").inner_text() == "nora"


def test_queues_are_changed_by_click(open_page: Callable) -> None:
    page = open_page("emission-round-10")
    page.get_by_role("button", name=re.compile("M stars to vet")).click()
    page.locator('body[data-queue="mstars-vetting"]').wait_for()
    assert page.locator("#labels button").first.inner_text().split("\n")[-1].endswith("M dwarf")
    page.locator(".row").nth(2).click()
    at(page, 2)
