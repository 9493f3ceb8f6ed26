"""Pieces of attacks, how they are thrown together, and who watches what hsm does with them."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import yaml

WORDS = (
    "api", "../api", "../../etc", "/etc/passwd", "a/b", "a:b", "a\nb", "a\x00b", "\u0430pi", "a\u202eb", "-rf", "--",
    "", " ", ".", "..", "~", "~root", "CON", "a" * 300, "$(touch x)", "`touch x`", "${HOME}", "$$", "%s", "{0}", "*",
    "'\"",    "ext::sh -c touch% x", "ext::", "fd::3", "file:///etc", "--upload-pack=touch x", "-oProxyCommand=touch x",
    "ssh://-oProxyCommand=touch/x", "git@-oProxyCommand=x:y", "https://u:p@h/x", "http://[::1", "http://h:99999/x",
    "transport::address", "main", "HEAD", "refs/heads/main", "@{u}", "a..b", "main^{/x}", ":/x", "0" * 40, "0" * 41,
    "latest", "1.0", "^1", ">=1,<2", "sha256:" + "0" * 64, "x@sha256:0", "x:y:z", "UPPER/case", "127.0.0.1:1/x", "a//b",
    "true", "no", "1e999", "0x10", "1_000", "-0", ".inf", "2001-01-01", "null", "\ufeff", "\x1b[31m", "\x7f", "\u2028",
)  # fmt: skip
KEYS = (
    "services", "groups", "repo", "url", "ref", "name", "path", "dev", "prod", "mode", "image", "version", "build",
    "context", "dockerfile", "volumes", "watch", "rebuild", "environment", "env_file", "ports", "limits", "replicas",
    "strategy", "alias", "options", "selection", "profiles", "consumers", "include", "compose", "defaults", "api", "db",
    "oneshot", "submodules", "network_mode", "depends_on", "links", "secrets", "extends", "file", "action", "target",
)  # fmt: skip
RIGHT: dict[str, Any] = {
    "services": {
        "api": {
            "mode": "dev",
            "repo": {"url": "https://git.example/api.git", "ref": "main", "name": "api"},
            "dev": {"build": {"context": "."}, "volumes": ["./src:/src"], "environment": {"A": "b"}},
            "prod": {"image": "registry.example/api", "version": "^1.0"},
        },
        "web": {"prod": {"image": "registry.example/web:1"}},
    },
    "groups": {"database": {"strategy": "1-of-N", "alias": "db", "options": ["pg", "my"], "selection": "pg"}},
}


def places(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    inner = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in inner:
        yield from places(value, (*path, key))


def put(tree: Any, path: tuple[Any, ...], value: Any) -> Any:
    """A copy of the tree with another value at the place."""
    if not path:
        return value
    copy = dict(tree) if isinstance(tree, dict) else list(tree)
    copy[path[0]] = put(tree[path[0]], path[1:], value)
    return copy


class Thrower:
    """Attacks at random, ten times as quick as hypothesis draws them; the same seed gives the same ones."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)

    def value(self, depth: int = 3) -> Any:
        kind = self.chance.random()
        if depth and kind < 0.2:
            return [self.value(depth - 1) for _ in range(self.chance.randrange(4))]
        if depth and kind < 0.45:
            return {self.key(): self.value(depth - 1) for _ in range(self.chance.randrange(5))}
        return self.chance.choice((None, True, -1, 1.5, "", *WORDS))

    def key(self) -> str:
        return self.chance.choice(KEYS if self.chance.random() < 0.8 else WORDS)

    def text(self) -> str:
        tree: Any = RIGHT
        for _ in range(self.chance.randrange(1, 4)):
            path = self.chance.choice(tuple(places(tree)))
            value = self.value()
            if self.chance.random() < 0.5 and isinstance(found := at(tree, path), dict):
                value = {**found, self.key(): value}
            tree = put(tree, path, value)
        dumped: str = yaml.dump(tree, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper), allow_unicode=True)
        return self.torn(dumped) if self.chance.random() < 0.2 else dumped

    def torn(self, text: str) -> str:
        """The text with some letters in it that are others."""
        letters = list(text)
        for _ in range(self.chance.randrange(1, 6)):
            letters[self.chance.randrange(len(letters))] = self.chance.choice("[]{}:,-&*!|>'\"#%@`?<=~ \n\tab0\x00\x85")
        return "".join(letters)


def at(tree: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        tree = tree[key]
    return tree


@contextmanager
def nothing_but_reading() -> Iterator[None]:
    """Until its end no file is written, no program started, no host called: an audit hook sees each attempt."""
    _watching.append(True)
    try:
        yield
    finally:
        _watching.pop()
        tried, _tried[:] = [*_tried], []
    assert not tried, tried


_watching: list[bool] = []
_tried: list[str] = []
_FORBIDDEN = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "socket.connect", "os.remove",
              "os.rename", "os.mkdir", "os.rmdir", "os.symlink", "os.chmod", "shutil.rmtree")  # fmt: skip


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watching:
        return
    writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    if event in _FORBIDDEN or writes:
        _tried.append(f"{event} {arguments}"[:300])


sys.addaudithook(_hear)


@contextmanager
def programs() -> Iterator[set[str]]:
    """The programs that are started until its end."""
    _started.clear()
    _listening.append(True)
    try:
        yield _started
    finally:
        _listening.pop()


_listening: list[bool] = []
_started: set[str] = set()


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if _listening and event == "subprocess.Popen":
        _started.add(str(arguments[1][0]))


sys.addaudithook(_note)
