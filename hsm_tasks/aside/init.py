"""`hsm init`: the first hsm.yaml of a compose project. Reads what is there, lets `core.propose` decide, writes.

Nothing is asked and nothing that exists is changed, but .gitignore, which gets the rules that it lacks. hsm.yaml is
written last: where it is, init has been.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from hsm_tasks.core import giturl, propose
from hsm_tasks.core.errors import HsmError, mask, mistake
from hsm_tasks.core.model import Base
from hsm_tasks.core.propose import Facts, Found, build_of
from hsm_tasks.effects import compose, files, git
from hsm_tasks.stack import schemas, workspace
from hsm_tasks.stack.reading import read_base
from hsm_tasks.stack.workspace import CONFIG, LOCAL, OVERRIDE, STATE

DODO = '''\
"""The commands of this workspace; `doit list` shows them."""

from hsm_tasks.door import DOIT_CONFIG, hsm  # noqa: F401 - doit looks for both
'''
_HEADER = "# hsm: what is local to one machine"
_FILE = re.compile(r"(?:docker-)?compose(?:[.-][\w.-]+)?\.ya?ml")
_NEEDED = re.compile(r"(?<!\$)(?:\$\$)*\$(?:\{(\w+)(?:\}|:?\?)|(\w+))")
_DEEP = 2  # levels of folders in which a compose file is looked for


def init(folder: Path, words: Sequence[str], environ: Mapping[str, str], say: Callable[[str], None]) -> None:
    """Makes the folder a stack. `words` are compose files, if they are not those that compose itself would take."""
    root, repos_dir = _workspace(folder)
    if _taken(folder / CONFIG):
        raise mistake(f"{CONFIG} is there already", "edit it, or take it away first; `hsm plan` shows what it does")
    named = _named(folder, words, environ)
    base_files = compose.base_files(folder, named or None, len(named) > 1, environ)
    base = read_base(folder, root / STATE / "init", base_files, environ).base
    made = propose.propose(base, _facts(folder, root, base, base_files, named))
    for line in _write(folder, root, repos_dir, made):
        say(line)
    for line in _advice(base_files, environ):
        say(line)


def _workspace(folder: Path) -> tuple[Path, str]:
    """The root of the workspace that the folder belongs to or is to become, and its folder of checkouts."""
    here = workspace.find(folder)
    place, repos = here.root / here.settings.stacks_dir, here.settings.repos_dir
    if here.root != folder and folder.parent != place:
        hint = f"a stack of it is a folder in {_shown(place, folder)}: make this one there"
        root = _shown(here.root, folder)
        raise mistake(f"this folder lies in the workspace {root}, whose stacks are elsewhere", hint)
    if here.root != folder:
        return here.root, repos
    if any(path != "." for path in here.stacks.values()):
        raise mistake("this is the root of a workspace with stacks", f"run it in a folder below {place.name}/")
    return (folder.parent.parent if folder.parent.name == here.settings.stacks_dir else folder), repos


# --- what is there ------------------------------------------------------------------------------------------------


def _named(folder: Path, words: Sequence[str], environ: Mapping[str, str]) -> tuple[str, ...]:
    """The compose files that hsm.yaml must name; () where compose finds them by itself."""
    for word in words:
        if word.startswith("-"):
            raise mistake(f'init does not know "{word}"', "it takes compose files: hsm init docker/compose.yml")
        if not (folder / word).is_file():
            raise mistake(f'there is no file "{word}"', f"there are: {', '.join(_candidates(folder)) or 'none'}")
    if words:
        return tuple(words)
    try:
        compose.base_files(folder, None, False, environ)
    except HsmError as error:
        found = _candidates(folder)
        if len(found) == 1:
            return (found[0],)
        if not found:
            raise mistake("there is no compose file here", "init makes a stack of compose files") from error
        hint = f"name the ones that make up the stack, in their order: hsm init {found[0]} …"
        raise mistake(f"which compose files? There are: {', '.join(found)}", hint) from error
    return ()


def _candidates(folder: Path) -> tuple[str, ...]:
    """Compose files at unusual places, the nearest ones only: those of examples and modules lie deeper."""
    level = [folder]
    for _ in range(_DEEP + 1):
        found = sorted(path for place in level for path in _entries(place) if path.is_file() and _is_compose(path))
        if found:
            return tuple(path.relative_to(folder).as_posix() for path in found)
        level = [path for place in level for path in _entries(place) if path.is_dir() and not path.is_symlink()]
    return ()


def _is_compose(path: Path) -> bool:
    return bool(_FILE.fullmatch(path.name)) and path.name != OVERRIDE and ".override." not in path.name


def _entries(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if path.name[0] != "." and path.name != "node_modules"]
    except OSError:
        return []


def _facts(folder: Path, root: Path, base: Base, base_files: Sequence[Path], named: Sequence[str]) -> Facts:
    found = dict(_repositories(folder, base))
    binds = {str(volume.get("source")) for name in base.services for volume in _volumes(base, name)}
    top = folder / base.root
    return Facts(
        schema=posixpath.join(os.path.relpath(root / STATE, folder), schemas.STACK),
        made_from=[os.path.relpath(path, folder) for path in base_files],
        compose=named,
        repositories=found,
        present=frozenset(source for source in binds if "$" not in source and (top / source).exists()),
    )


def _volumes(base: Base, name: str) -> list[Mapping[str, object]]:
    volumes = base.services[name].get("volumes")
    return [volume for volume in volumes if isinstance(volume, Mapping)] if isinstance(volumes, list) else []


def _repositories(folder: Path, base: Base) -> Iterator[tuple[str, Found]]:
    """Where a build context lies in a repository of its own, and has one to be cloned from."""
    around = git.top_level(folder)
    for name, keys in base.services.items():
        context = build_of(keys).get("context")
        if not isinstance(context, str) or "$" in context:
            continue
        found = propose.remote(context) or _checkout(folder, (folder / base.root / context).resolve(), around)
        if found:
            yield name, found


def _checkout(folder: Path, context: Path, around: Path | None) -> Found | None:
    top = git.top_level(context) if context.is_dir() else None
    if top is None or top == around:
        return None
    url = git.origin(top)
    if url is None:
        return None
    url = re.sub(r"^(https?://)[^/@]*@", r"\1", url)  # a person's own login
    if giturl.is_relative(url):
        url = _relative(folder, top / url)
    if giturl.check_url(url):
        return None
    branch = (git.state(top).upstream or "").partition("/")
    return Found(
        url=url,
        ref=branch[2] if branch[0] == "origin" else "",
        checkout=os.path.relpath(top, folder.resolve()),
        inside=os.path.relpath(context, top),
    )


def _relative(folder: Path, path: Path) -> str:
    moved = os.path.relpath(path, folder.resolve())
    return moved if moved.startswith(".") else f"./{moved}"


# --- what is written ----------------------------------------------------------------------------------------------


def _write(folder: Path, root: Path, repos_dir: str, made: propose.Proposal) -> Iterator[str]:
    """A sentence for each file, after it is there."""
    top = git.top_level(folder)
    place = root if top is None or root.resolve().is_relative_to(top) else folder
    ignored = place / ".gitignore"
    if ignored.is_symlink():  # git does not follow it, and what it leads to may be anybody's
        yield f"{_shown(ignored, folder)} is a link and stays as it is; what sync makes, it keeps out of git by itself"
    elif added := ignore(ignored, (f"/{repos_dir}/", f"{STATE}/", LOCAL, OVERRIDE)):
        yield f"{_shown(ignored, folder)}: {', '.join(added)}"
    schemas.keep(root / STATE)
    if _taken(root / "dodo.py"):
        if "hsm_tasks" not in (files.read_if_there(root / "dodo.py") or ""):
            yield f"{_shown(root / 'dodo.py', folder)} stays as it is: `hsm …` works; for `doit …` it needs the line"
            yield f"  {DODO.splitlines()[2].partition('  #')[0]}"
    else:
        files.write_if_changed(root / "dodo.py", DODO)
        yield f"{_shown(root / 'dodo.py', folder)}: one line, for those who type doit"
    if made.local and not _taken(folder / LOCAL):
        files.write_if_changed(folder / LOCAL, made.local)
        yield f"{LOCAL}: the checkouts that are here already"
    files.write_if_changed(folder / CONFIG, made.config)
    yield f"{CONFIG}: {_summary(made)}"


def _taken(path: Path) -> bool:
    """Whether anything is there, and be it a link to nowhere: a file would take its place."""
    return path.exists() or path.is_symlink()


def _shown(path: Path, folder: Path) -> str:
    return os.path.relpath(path, folder)


def ignore(path: Path, rules: Sequence[str]) -> list[str]:
    """Appends the rules that a .gitignore lacks; what stands there stays, byte for byte. Says which were missing."""
    try:
        text = files.content(path).decode() if path.exists() else ""
    except UnicodeDecodeError as error:
        raise HsmError(f"{path} is not text in UTF-8 (byte {error.start})", "it needs the rules of hsm") from error
    there = {line.strip().strip("/") for line in text.splitlines()}
    missing = [rule for rule in rules if rule.strip("/") not in there]
    if missing:
        end = "\r\n" if "\r\n" in text else "\n"
        before = text if not text or text.endswith("\n") else text + end
        gap = end if before else ""
        files.write_if_changed(path, before + gap + "".join(line + end for line in (_HEADER, *missing)))
    return missing


def _summary(made: propose.Proposal) -> str:
    parts = []
    if made.built:
        parts.append(f"{len(made.built)} built from sources ({', '.join(made.built)})")
    if made.ready:
        parts.append(f"{len(made.ready)} from images")
    if made.profiles:
        parts.append(f"profiles {', '.join(made.profiles)}")
    parts += [f"{' and '.join(names)} look like alternatives" for names in made.alternatives]
    return "; ".join(parts) or "no services"


def _advice(base_files: Sequence[Path], environ: Mapping[str, str]) -> Iterator[str]:
    root = base_files[0].parent
    needed = sorted(_without_value(base_files, root, environ))
    if needed:
        example = next((name for name in (".env.example", ".env.sample", ".env.dist") if (root / name).is_file()), None)
        what = f"copy {example} to .env" if example and not (root / ".env").exists() else "set them in .env"
        yield f"without a value, as for compose itself: {', '.join(needed)} ({what})"
    yield "next: hsm sync, then hsm up"


def _without_value(base_files: Sequence[Path], root: Path, environ: Mapping[str, str]) -> set[str]:
    """Variables of the base that nothing gives a value."""
    env = "".join(f"{files.read_if_there(path) or ''}\n" for path in compose.env_files(root, environ))
    known = {line.strip().removeprefix("export ").partition("=")[0].strip() for line in env.splitlines()}
    yamls = (path for path in compose.sources(base_files) if path.suffix in (".yml", ".yaml"))
    texts = (files.read_if_there(path) or "" for path in yamls)
    lines = (line for text in texts for line in text.splitlines() if not line.lstrip().startswith("#"))
    named = {first or second for line in lines for first, second in _NEEDED.findall(line)}
    return {mask(name) for name in named} - known - environ.keys()
