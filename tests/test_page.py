"""The page of `graph`, in a browser: pointing, clicking, typing; and names as bad as they come do nothing there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from hsm_tasks.core.drawing import Drawing
from hsm_tasks.look import graph
from tests.core.drawings import HOSTILE, hostile, small
from tests.support.browser import browser


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


def shown(window: Chrome, drawing: Drawing, folder: Path, form: str = "html", colours: str = "light") -> None:
    """Opens the drawing, as the command writes it."""
    path = folder / f"graph.{form}"
    path.write_text(graph.FORMS[form](drawing))
    wanted = {"features": [{"name": "prefers-color-scheme", "value": colours}]}
    window.execute_cdp_cmd("Emulation.setEmulatedMedia", wanted)
    window.get(path.as_uri())


def panel(window: Chrome) -> str:
    return window.find_element(By.ID, "about").text


def lit(window: Chrome) -> set[str]:
    return {card.get_attribute("id") or "" for card in window.find_elements(By.CSS_SELECTOR, ".card.lit")}


def test_pointing_at_a_card_tells_its_steps_and_lights_up_its_neighbours(window: Chrome, tmp_path: Path) -> None:
    shown(window, small(), tmp_path)
    ActionChains(window).move_to_element(window.find_element(By.ID, "s1")).perform()
    told = panel(window)
    assert told.startswith("api\ndev\nrepos/api main\none-shot\nSteps\n● run render:api\nconfig changed: mode")
    assert told.endswith("Needs\npg\nNeeded by\nweb\ndebug")
    assert lit(window) == {"s0", "s1", "s2", "p1x0"}
    assert len(window.find_elements(By.CSS_SELECTOR, ".arrow.lit")) == 3


def test_a_click_keeps_a_card_until_the_escape_key(window: Chrome, tmp_path: Path) -> None:
    shown(window, small(), tmp_path)
    window.find_element(By.ID, "s1").click()
    ActionChains(window).move_to_element(window.find_element(By.ID, "s0")).perform()
    assert panel(window).startswith("api\n")
    ActionChains(window).send_keys(Keys.ESCAPE).perform()
    ActionChains(window).move_to_element(window.find_element(By.ID, "s4")).perform()
    assert panel(window).startswith("alone\n")


def test_everything_is_reached_by_the_keyboard(window: Chrome, tmp_path: Path) -> None:
    shown(window, small(), tmp_path)
    window.find_element(By.TAG_NAME, "main").send_keys(Keys.NULL)
    reached = []
    for _ in range(9):
        ActionChains(window).send_keys(Keys.TAB).perform()
        reached.append(window.switch_to.active_element.get_attribute("id"))
        assert panel(window).strip()
    assert set(reached) == {"lock", "render", "build", "s0", "s1", "s2", "s3", "s4", "p1x0"}
    ActionChains(window).send_keys(Keys.ENTER).perform()
    assert window.switch_to.active_element.get_attribute("aria-pressed") == "true"


def test_a_neighbour_in_the_panel_leads_to_it(window: Chrome, tmp_path: Path) -> None:
    shown(window, small(), tmp_path)
    window.find_element(By.ID, "s0").click()
    window.find_element(By.CSS_SELECTOR, "#about li button").click()
    assert panel(window).startswith("api\n")
    assert window.switch_to.active_element.get_attribute("id") == "s1"


def test_find_and_only_stale_fade_the_rest(window: Chrome, tmp_path: Path) -> None:
    shown(window, small(), tmp_path)
    window.find_element(By.ID, "stale").click()
    bright = {card.get_attribute("id") for card in window.find_elements(By.CSS_SELECTOR, ".card:not(.faded)")}
    assert bright == {"s1", "render", "build"}
    window.find_element(By.ID, "stale").click()
    window.find_element(By.ID, "find").send_keys("POSTGRES")
    bright = {card.get_attribute("id") for card in window.find_elements(By.CSS_SELECTOR, ".card:not(.faded)")}
    assert bright == {"s2"}


def test_the_picture_can_be_made_larger_and_fitted(window: Chrome, tmp_path: Path) -> None:
    shown(window, small(), tmp_path)
    width = "return document.querySelector('main svg').width.baseVal.value"
    before = float(window.execute_script(width))
    window.find_element(By.ID, "closer").click()
    assert float(window.execute_script(width)) == pytest.approx(before * 1.25, rel=0.01)
    window.find_element(By.ID, "whole").click()
    assert float(window.execute_script(width)) <= float(window.find_element(By.TAG_NAME, "main").size["width"])


@pytest.mark.parametrize("form", ["html", "svg"])
def test_it_is_light_or_dark_as_the_reader_wants(window: Chrome, tmp_path: Path, form: str) -> None:
    paper = "return getComputedStyle(document.querySelector('.sheet')).fill"
    shown(window, small(), tmp_path, form)
    light = window.execute_script(paper)
    shown(window, small(), tmp_path, form, colours="dark")
    assert (light, window.execute_script(paper)) == ("rgb(255, 255, 255)", "rgb(18, 22, 29)")


@pytest.mark.parametrize("form", ["html", "svg"])
def test_no_name_runs_as_a_script(window: Chrome, tmp_path: Path, form: str) -> None:
    shown(window, hostile(), tmp_path, form)
    for card in window.find_elements(By.CSS_SELECTOR, ".card"):
        ActionChains(window).move_to_element(card).click().perform()
    assert window.execute_script("return typeof hacked") == "undefined"
    if form == "html":
        window.execute_script("document.getElementById('s0').dispatchEvent(new FocusEvent('focus'))")
        window.find_element(By.ID, "s0").click()
        name = window.execute_script("return document.querySelector('#about h2').textContent")
        assert name == HOSTILE


def test_the_page_makes_no_request_and_no_complaint(window: Chrome, tmp_path: Path) -> None:
    window.get_log("browser")  # type: ignore[no-untyped-call]
    window.get_log("performance")  # type: ignore[no-untyped-call]
    shown(window, small(), tmp_path)
    window.find_element(By.ID, "s1").click()
    asked = [json.loads(line["message"])["message"] for line in window.get_log("performance")]  # type: ignore[no-untyped-call]
    urls = {one["params"]["request"]["url"] for one in asked if one["method"] == "Network.requestWillBeSent"}
    assert urls == {(tmp_path / "graph.html").as_uri()}
    assert window.get_log("browser") == []  # type: ignore[no-untyped-call]
