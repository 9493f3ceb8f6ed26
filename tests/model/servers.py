"""A real registry and real git repositories, shared by all sequences; each sequence begins with them as they were."""

from __future__ import annotations

from pathlib import Path

from tests.support.gitserver import commit, git, make_repository
from tests.support.registry import RegistryServer

IMAGES = ("plain", "checked", "stored", "tool")
TAGS = ("1.0.0", "1.1.0", "1.2.0", "2.0.0", "latest")
LATE = "1.3.0"  # nobody has it until it is published
REFS = ("main", "next", "v1")
REPOSITORIES = 3
COMMITS = 4
CONFIGS: dict[str, dict[str, object]] = {
    "checked": {"Healthcheck": {"Test": ["CMD", "true"]}},
    "stored": {"Volumes": {"/data": {}}, "Healthcheck": {"Test": ["CMD", "true"]}},
}
SOURCES = {"Dockerfile": "FROM scratch AS dev\n", "src/app.py": "print(1)\n", "conf/app.ini": "x=1\n"}


class Servers:
    """`digests` is image → tag → (digest at first, digest after a move)."""

    def __init__(self, folder: Path, registry: RegistryServer) -> None:
        self.folder, self.registry = folder, registry
        self.digests: dict[str, dict[str, tuple[str, str]]] = {}
        self.commits: dict[tuple[int, str], list[str]] = {}
        self._moved: set[tuple[str, str]] = set()
        self._pushed: dict[tuple[int, str], int] = {}
        self._late: dict[str, str] = {}
        self.refused: set[int] = set()
        for name in IMAGES:
            self._fill(name)
        for number in range(REPOSITORIES):
            self._make(number)
            make_repository(folder / "mine" / f"r{number}", SOURCES)

    def _fill(self, name: str) -> None:
        self.digests[name] = {}
        for tag in TAGS:
            found = []
            for label in (f"spare-{tag}", tag):
                config = {**CONFIGS.get(name, {}), "Labels": {"is": label}}
                found.append(self.registry.push(name, label, config=config))
            self.digests[name][tag] = (found[1], found[0])

    def _make(self, number: int) -> None:
        """A branch, its commits one after the other; `next` begins at the first of them."""
        path = self.folder / f"r{number}"
        first = make_repository(path, SOURCES)
        git(path, "tag", "v1")
        for branch in ("main", "next"):
            git(path, "checkout", "--quiet", "-B", branch, first)
            later = [commit(path, {f"{branch}.txt": f"{count}\n"}) for count in range(COMMITS)]
            self.commits[number, branch] = [first, *later]
        git(path, "checkout", "--quiet", "--detach", first)
        for branch in ("main", "next"):
            git(path, "update-ref", f"refs/model/{branch}", self.commits[number, branch][-1])
        git(path, "symbolic-ref", "HEAD", "refs/heads/main")
        git(path, "config", "uploadpack.hideRefs", "refs/model")
        for branch in ("main", "next"):
            self._point(number, branch, first)

    # --- what moves ------------------------------------------------------------------------------------------------

    def move(self, image: str, tag: str) -> None:
        """The tag names another image from now on; moved once more, the first one again."""
        moved = (image, tag) in self._moved
        self.registry.retag(image, self.digests[image][tag][not moved], tag)
        self._moved ^= {(image, tag)}

    def push(self, number: int, branch: str) -> None:
        """One commit more on a branch, as long as there are some."""
        count = min(self._pushed.get((number, branch), 0) + 1, COMMITS)
        self._pushed[number, branch] = count
        self._point(number, branch, self.commits[number, branch][count])

    def publish(self, image: str) -> None:
        """The tag LATE comes to be."""
        if image not in self._late:
            config = {**CONFIGS.get(image, {}), "Labels": {"is": LATE}}
            self._late[image] = self.registry.push(image, LATE, config=config)

    def refuse(self, number: int) -> None:
        """A repository is not there any more."""
        if number not in self.refused:
            here = self._at(number)
            self.refused.add(number)
            here.rename(self._at(number))

    def allow(self) -> None:
        """All repositories are there."""
        for number in sorted(self.refused):
            gone = self._at(number)
            self.refused.remove(number)
            gone.rename(self._at(number))

    def reset(self) -> None:
        """All as it was at first."""
        self.allow()
        for image, tag in sorted(self._moved):
            self.move(image, tag)
        for number, branch in self._pushed:
            self._point(number, branch, self.commits[number, branch][0])
        self._pushed.clear()
        for image, digest in self._late.items():
            self.registry.remove(image, digest)
        self._late.clear()

    @property
    def lacks_late(self) -> frozenset[str]:
        """The images without the tag LATE."""
        return frozenset(IMAGES) - self._late.keys()

    def answer(self, image: str, tag: str, versions: str) -> str:
        """The digest that a tag means now, or the newest tag in a range."""
        late = LATE if image in self._late else "1.2.0"
        tag = {"": tag or "latest", "^1": late, "~1.1": "1.1.0", ">=1.0,<3": "2.0.0"}[versions]
        return self._late[image] if tag == LATE else self.digests[image][tag][(image, tag) in self._moved]

    def state(self) -> str:
        """Another text whenever a repository says something else."""
        return repr((sorted(self._pushed.items()), sorted(self.refused)))

    def url(self, number: int) -> str:
        return f"file://{self.folder / f'r{number}'}"

    def _at(self, number: int) -> Path:
        return self.folder / (f"r{number}.gone" if number in self.refused else f"r{number}")

    def _point(self, number: int, branch: str, commit: str) -> None:
        (self._at(number) / ".git" / "refs" / "heads" / branch).write_text(f"{commit}\n")
