"""SVG and HTML: what stands in them, and that no name becomes markup."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

from hsm_tasks.core.drawing import Drawing
from hsm_tasks.core.picture import Assets, fit, page, svg
from tests.core.drawings import HOSTILE, crowd, hostile, small
from tests.core.test_sheet import arranged

ASSETS = Assets(picture=".hsm { color: red }", page="body { margin: 0 }", script="let asked = 1;")
NAMESPACE = "{http://www.w3.org/2000/svg}"


def drawn(drawing: Drawing) -> str:
    return page(drawing, arranged(drawing), ASSETS)


class Reader(HTMLParser):
    """Elements, attributes, and the text of scripts, as a browser takes them apart."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.elements and self.elements[-1][0] == "script":
            self.scripts.append(data)


def test_the_svg_tells_each_card_with_its_reasons() -> None:
    tree = ElementTree.fromstring(svg(small(), arranged(small()), ".hsm {}"))
    cards = {one.get("id"): one for one in tree.iter(f"{NAMESPACE}g") if "card" in (one.get("class") or "").split()}
    assert set(cards) == {"s0", "s1", "s2", "s3", "s4", "p1x0", "lock", "render", "build"}
    assert all(card.get("tabindex") == "0" for card in cards.values())
    said = cards["s1"].get("aria-label") or ""
    assert said.startswith("api, dev, repos/api main\none-shot\n● render:api: config changed: mode (prod → dev)\n◌ b")
    assert cards["s1"].findtext(f"{NAMESPACE}title") == said
    assert "unchosen" in (cards["s3"].get("class") or "")
    marks = [mark.get("class") for mark in cards["s1"] if mark.tag == f"{NAMESPACE}g"]
    assert marks == ["mark run", "mark may"]


def test_no_name_becomes_markup_in_svg() -> None:
    tree = ElementTree.fromstring(svg(hostile(), arranged(hostile()), ""))
    assert not list(tree.iter(f"{NAMESPACE}script"))
    assert {name for one in tree.iter() for name in one.attrib if name.startswith("on")} == set()
    title = next(one for one in tree.iter(f"{NAMESPACE}g") if one.get("id") == "s0").findtext(f"{NAMESPACE}title")
    assert HOSTILE.replace("\x07", "\ufffd") in (title or "")


def test_no_name_becomes_markup_in_html() -> None:
    read = Reader(drawn(hostile()))
    assert sum(tag == "script" for tag, _ in read.elements) == 2
    assert not any(name.startswith("on") for _, attributes in read.elements for name in attributes)
    about = json.loads(read.scripts[0])
    assert about["s0"]["name"] == HOSTILE
    assert about["s0"]["marks"][0]["reasons"] == [HOSTILE, "another"]


def test_the_page_asks_nothing_of_anybody() -> None:
    text = drawn(small())
    policy = next(one["content"] for tag, one in Reader(text).elements if one.get("http-equiv"))
    assert re.fullmatch(r"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-[\w+/=]{44}'", policy or "")
    assert re.findall(r"(?:src|href|url)\s*[=(]", text) == []
    assert set(re.findall(r"\w+://[^\"\s]+", text)) == {"http://www.w3.org/2000/svg"}


def test_the_page_has_every_step_in_a_table_too() -> None:
    text = drawn(small())
    assert '<tr><td>render:api<td class="state run">● run<td>config changed: mode (prod → dev)' in text
    assert '<tr><td>lock<td class="state fresh">✓ fresh<td>' in text


def test_the_arrow_of_a_crowd_names_all_of_it() -> None:
    tails = re.findall(r'data-tail="([^"]*)"', drawn(crowd(9)))
    assert tails == [" ".join(f"s{number}" for number in range(9))]


def test_the_same_drawing_gives_the_same_bytes() -> None:
    assert drawn(small()) == drawn(small())


def test_long_words_are_cut_where_they_say_least() -> None:
    assert fit("short", 10) == "short"
    assert fit("a-very-long-name", 8) == "a-very-…"
    assert fit("registry.example/api:1.5", 8, left=True) == "…api:1.5"
    assert fit("名前名前名前", 7) == "名前名…"
