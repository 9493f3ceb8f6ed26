"""Mermaid and dot: what they say, and that no name can say more."""

from __future__ import annotations

import re

from pygraphviz import AGraph

from hsm_tasks.core.diagrams import dot, mermaid
from tests.core.drawings import HOSTILE, hostile, small


def test_mermaid_has_groups_steps_and_reasons() -> None:
    text = mermaid(small())
    assert '    stage_render(["render: 1 run of 2"])' in text
    assert '  subgraph g0["database #40;1-of-N, answers to db#41;"]' in text
    assert '  s1["api #40;dev#41;<br>repos/api main<br>● render:api: config changed: mode #40;prod → dev#41;' in text
    assert "  s0 --> s1" in text
    assert "  p1x0 -.-> s1" in text
    assert "  class stage_render,s1 run" in text
    assert "  class s3 off" in text


def test_no_name_leaves_its_label_in_mermaid() -> None:
    for line in mermaid(hostile()).splitlines():
        labels = re.findall(r'"([^"]*)"', line)
        assert line.count('"') == 2 * len(labels)
        bare = re.sub(r'"[^"]*"', "", line)
        assert "hacked" not in bare
        for label in labels:
            assert not set(re.sub(r"<br>|#\d+;", "", label)) & set("<>&;#`%{}[]()\\'")


def test_dot_is_read_by_graphviz_and_the_names_come_back() -> None:
    with AGraph(string=dot(small())) as graph:
        assert graph.get_node("s1").attr["label"].startswith("api (dev)\\nrepos/api main\\n● render:api: config")
        assert graph.has_edge("s0", "s1")
        assert [cluster.graph_attr["label"] for cluster in graph.subgraphs()][1:] == [
            "database (1-of-N, answers to db)", "extras (M-of-N of profiles)"]  # fmt: skip


def test_no_name_leaves_its_label_in_dot() -> None:
    with AGraph(string=dot(hostile())) as graph:
        assert sorted(graph.nodes()) == ["s0", "s1", "stage_render"]
        label = str(graph.get_node("s1").attr["label"])
    shown = label.replace("\\\\", "\\").replace("&amp;", "&")
    assert " ".join(HOSTILE.split()) in shown
