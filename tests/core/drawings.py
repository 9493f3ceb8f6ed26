"""Drawings for tests: one small, one with names as bad as they come."""

from __future__ import annotations

from hsm_tasks.core.drawing import Arrow, Box, Card, Drawing, Mark, Stage

HOSTILE = '</title></script><script>hacked=1</script>"\' onfocus="hacked=1" \\N ]-->`%%{init}%% ;&amp;#35;\n\x07 ✓ 名'


def small() -> Drawing:
    """web needs the api, the api needs the chosen database; a profile; one service by itself."""
    render = Mark("render:api", "run", ("config changed: mode (prod → dev)",))
    build, lock = Mark("build:api", "may run", ("after check",)), Mark("lock", "fresh")
    fresh = Mark("render:web", "fresh")
    cards = (
        Card(key="s0", name="web", mode="prod", source="registry.example/acme/web:2.1", marks=(fresh,)),
        Card(key="s1", name="api", mode="dev", source="repos/api main", notes=("one-shot",), marks=(render, build)),
        Card(key="s2", name="pg", mode="base", source="postgres:16"),
        Card(key="s3", name="my", mode="off", source="not chosen", chosen=False),
        Card(key="s4", name="alone", mode="base", source="built"),
        Card(key="p1x0", name="debug", mode="profile", source="chosen"),
    )
    return Drawing(
        stack="shop", project="shop-1", cards=cards,
        boxes=(Box("database", "1-of-N, answers to db", ("s2", "s3")), Box("extras", "M-of-N of profiles", ("p1x0",))),
        arrows=(Arrow("s0", "s1"), Arrow("s1", "s2"), Arrow("p1x0", "s1", faint=True)),
        stages=(Stage("lock", (lock,)), Stage("render", (render, fresh)), Stage("build", (build,))),
    )  # fmt: skip


def hostile() -> Drawing:
    """As small, every word of a person's the worst."""
    mark = Mark(f"render:{HOSTILE}", "run", (HOSTILE, "another"))
    cards = (
        Card(key="s0", name=HOSTILE, mode="dev", source=HOSTILE, notes=(HOSTILE,), marks=(mark,)),
        Card(key="s1", name=HOSTILE, mode="off", source=HOSTILE, chosen=False),
    )
    boxes, arrows = (Box(HOSTILE, HOSTILE, ("s1",)),), (Arrow("s0", "s1"),)
    stages = (Stage("render", (mark,)),)
    return Drawing(stack=HOSTILE, project=HOSTILE, cards=cards, boxes=boxes, arrows=arrows, stages=stages)


def crowd(count: int) -> Drawing:
    """So many services that need the same database."""
    cards = tuple(Card(key=f"s{i}", name=f"svc{i}", mode="prod", source="x:1") for i in range(count))
    database = Card(key="db", name="pg", mode="base", source="postgres:16")
    arrows = tuple(Arrow(card.key, "db") for card in cards)
    return Drawing(stack="x", project="x", cards=(*cards, database), boxes=(), arrows=arrows, stages=())
