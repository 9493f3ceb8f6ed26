"""All that a plan is made of, as values: what was read, and where things are."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping

import msgspec

from hsm_tasks.core.forms import Chosen
from hsm_tasks.core.lock import Lock
from hsm_tasks.core.model import Base, Repository, Stack
from hsm_tasks.core.scalars import Schema


class Paths(msgspec.Struct, frozen=True, kw_only=True):
    """Where a stack lives, relative to the workspace. `base` is the folder of the first base file."""

    stack: str
    base: str
    state: str
    repos: str

    def beside(self, name: str) -> str:
        """A file beside hsm.yaml."""
        return posixpath.normpath(posixpath.join(self.stack, name))

    def checkout(self, repository: Repository) -> str:
        """Where a repository is checked out; an absolute path only if a person's own checkout was given so."""
        if repository.path is None:
            return posixpath.join(self.repos, repository.name)
        return posixpath.normpath(posixpath.join(self.stack, repository.path))

    def from_base(self, path: str) -> str:
        """A path of the workspace as compose reads it."""
        return path if path.startswith("/") else posixpath.relpath(path, self.base or ".")

    def to_workspace(self, path: str) -> str:
        """A path as compose reads it, seen from the workspace."""
        return posixpath.normpath(posixpath.join(self.base, path))


class Scene(msgspec.Struct, frozen=True, kw_only=True):
    """All that a plan is made of. `stack` has hsm.local.yaml in it, `committed` has not; likewise the two choices.

    `images` maps a reference as written to its value (variables put in). `move` are the services whose pins are to
    move (an update); `everything` says that the update names none. `last_lock` is hsm.lock as it was last written here.
    """

    stack: Stack
    committed: Stack
    base: Base
    chosen: Chosen
    committed_choice: Chosen
    images: Mapping[str, str]
    lock: Lock
    local_lock: Lock
    last_lock: Lock
    paths: Paths
    schema: Schema
    base_digest: str
    compose: str
    move: frozenset[str] = frozenset()
    everything: bool = False
    frozen: bool = False
    project: str = ""
