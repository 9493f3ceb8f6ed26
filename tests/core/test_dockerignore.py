"""Which paths of a context a .dockerignore lets through; each case is what `docker build` does with it."""

from __future__ import annotations

import pytest

from hsm_tasks.core.dockerignore import compile_rules


@pytest.mark.parametrize(
    ("text", "ignored", "seen"),
    [
        ("", [], ["a"]),
        ("# a\n \n", [], ["a", "# a"]),
        ("node_modules", ["node_modules", "node_modules/x/y.js"], ["app/node_modules", "node_modules2"]),
        ("**/node_modules", ["node_modules/x", "app/node_modules/x"], ["node_modules.js"]),
        ("*.md", ["a.md"], ["app/a.md"]),
        ("**/*.md", ["a.md", "x/y/a.md"], ["a.mdx"]),
        ("/dist/", ["dist/x"], ["app/dist"]),
        ("./dist", ["dist"], []),
        ("a/../b", ["b"], ["a"]),
        ("te?t", ["test"], ["tet", "te/t"]),
        ("[ab].txt", ["a.txt"], ["c.txt"]),
        ("a/**/z", ["a/z", "a/b/c/z"], ["az"]),
        ("logs/**", ["logs/x", "logs/x/y"], ["logs.txt"]),
        ("a\\*b", ["a*b"], ["axb"]),
        ("a.b", ["a.b"], ["axb"]),
        ("*\n!keep\n", ["a", "a/keep"], ["keep", "keep/x"]),
        ("*.md\n!README.md\nREADME*", ["README.md", "a.md"], ["a.txt"]),
        ("dir\n!dir/a\n", ["dir/b"], ["dir/a"]),
        ("! a\nb", ["b"], ["a"]),
        ("\ufeffa", ["a"], []),
        ("[", [], ["x"]),
        (".", ["x", "x/y"], []),
    ],
)
def test_the_last_line_that_matches_decides(text: str, ignored: list[str], seen: list[str]) -> None:
    rules = compile_rules(text)
    assert [path for path in (*ignored, *seen) if rules.matches(path)] == ignored


def test_an_ignored_folder_is_searched_only_where_a_line_may_take_something_back() -> None:
    rules = compile_rules("*\n!src/app\n!lib/*.py\n")
    assert [name for name in ("src", "src/app", "lib", "node_modules") if rules.may_take_back(name)] == [
        "src",
        "src/app",
        "lib",
    ]
    assert compile_rules("*\n!**/keep").may_take_back("any/where")
    assert not compile_rules("*").may_take_back("src")
