"""Reads everything that a plan is made of: hsm.yaml with its includes, hsm.local.yaml, the base, hsm.lock."""

from __future__ import annotations

import contextlib
import os
import posixpath
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec.structs import replace

from hsm_tasks.core import choose, giturl, load, lock, plan
from hsm_tasks.core.errors import ConfigError, HsmError, Problem
from hsm_tasks.core.load import Source
from hsm_tasks.core.model import Base, Stack
from hsm_tasks.core.scalars import Schema, schema_from
from hsm_tasks.effects import compose, files
from hsm_tasks.stack.reading import Cached, Reading, image_values, read_base
from hsm_tasks.stack.workspace import CONFIG, LOCAL, LOCK, OVERRIDE, STATE, Workspace


class Texts(msgspec.Struct, frozen=True):
    """What a person wrote: hsm.yaml with its includes (in the order of merging), and hsm.local.yaml.

    `local` is as the words of the line make it, `found` the text that was on the disk (None: no such file).
    """

    sources: tuple[Source, ...]
    local: Source | None
    found: str | None

    @property
    def all(self) -> tuple[Source, ...]:
        """Every file, the one that has the last word last."""
        return (*self.sources, *((self.local,) if self.local else ()))


class Opened(msgspec.Struct, frozen=True):
    """A stack with everything that was read for it. `environ` is the environment that compose will see."""

    workspace: Workspace
    name: str
    folder: Path
    texts: Texts
    files: tuple[Path, ...]
    scene: plan.Scene
    environ: Mapping[str, str]

    @property
    def override(self) -> Path:
        """docker-compose.hsm.yml."""
        return self.folder / OVERRIDE

    @property
    def state(self) -> Path:
        """.hsm/STACK."""
        return self.workspace.root / STATE / self.name

    def location(self, url: str) -> str:
        """A repository's url as git needs it: a relative one is a path beside hsm.yaml."""
        return str((self.folder / url).resolve()) if giturl.is_relative(url) else url

    def project(self) -> compose.Project:
        """What compose is asked about: base and override, as one project."""
        last = (self.override,) if self.override.exists() else ()
        return compose.Project((*self.files, *last), self.files[0].parent, self.scene.project)


# --- the user's own files ---------------------------------------------------------------------------------------


def read_texts(workspace: Workspace, name: str) -> Texts:
    """hsm.yaml, what it includes, and hsm.local.yaml of a stack."""
    folder = workspace.stacks[name]
    main = posixpath.normpath(posixpath.join(folder, CONFIG))
    problems: list[Problem] = []
    sources = tuple(_with_includes(workspace.root, folder, main, (), problems))
    local = posixpath.normpath(posixpath.join(folder, LOCAL))
    text = files.read_if_there(workspace.root / local)
    texts = Texts(sources, Source(local, text, ".") if text is not None else None, text)
    if problems:
        raise ConfigError(*problems, *load.malformed(texts.sources, texts.local))
    return texts


def _with_includes(
    root: Path, folder: str, path: str, above: tuple[str, ...], problems: list[Problem]
) -> Iterator[Source]:
    """A file after everything that it includes. Paths are relative to the workspace."""
    text = files.read(root / path)
    for asked in load.includes(text, path):
        included = posixpath.normpath(posixpath.join(posixpath.dirname(path), asked))
        message, hint = "", ""
        if included in (*above, path):
            message = f"a circle of includes: {' → '.join((*above, path, included))}"
        elif not (root / included).is_file():
            message, hint = f'there is no file "{asked}"', "a path is relative to the file that names it"
        if message:
            problems.append(load.problem([Source(path, text, ".")], ("include",), message, hint))
        else:
            yield from _with_includes(root, folder, included, (*above, path), problems)
    yield Source(path, text, posixpath.relpath(posixpath.dirname(path) or ".", folder))


def stacks_of(texts: Texts) -> tuple[Stack, Stack]:
    """(the stack of this machine, the stack as committed); ConfigError with every mistake."""
    committed = load.load(texts.sources, None, schema())
    if texts.local is None:
        return committed, committed
    return _at_home(load.load(texts.sources, texts.local, schema())), committed


def _at_home(stack: Stack) -> Stack:
    """A person may write `~` in the path of an own checkout."""
    services = {}
    for name, service in stack.services.items():
        repository = service.repository
        if repository and repository.path and repository.path.startswith("~"):
            repository = replace(repository, path=os.path.expanduser(repository.path))  # noqa: PTH111
            service = replace(service, repository=repository)
        services[name] = service
    return replace(stack, services=services)


# --- the base ---------------------------------------------------------------------------------------------------


def _refuse_base_in_checkout(workspace: Workspace, base_files: tuple[Path, ...], texts: Texts) -> None:
    repos = (workspace.root / workspace.settings.repos_dir).resolve()
    for path in base_files:
        if repos in path.resolve().parents:
            hint = "a checkout comes and goes; copy the compose file beside hsm.yaml"
            shown = os.path.relpath(path, workspace.root)
            raise ConfigError(load.problem(texts.all, ("compose",), f"the base file {shown} lies in a checkout", hint))


# --- all of it --------------------------------------------------------------------------------------------------


class Wish(msgspec.Struct, frozen=True):
    """What the words of a command line ask of the reading: a new hsm.local.yaml, pins to move, a frozen lock.

    `look`: nothing is written, the cache neither.
    """

    local: Callable[[Texts, Stack, Base], str | None] | None = None
    move: frozenset[str] = frozenset()
    everything: bool = False
    frozen: bool = False
    look: bool = False


def open_stack(workspace: Workspace, name: str, environ: Mapping[str, str], wish: Wish | None = None) -> Opened:
    """Everything of a stack; ConfigError with every mistake, each at its place. Writes nothing but its cache."""
    wish = wish or Wish()
    workspace.refuse_taken(name)
    files.refuse_links(workspace.root / STATE)
    files.refuse_links(workspace.root / STATE / name)
    texts = read_texts(workspace, name)
    stack, committed = stacks_of(texts)
    folder = workspace.root / workspace.stacks[name]
    base_files = _base_files(folder, stack, environ, texts)
    _refuse_base_in_checkout(workspace, base_files, texts)
    _refuse_shared_names(workspace, name, texts, stack)
    reading = read_base(folder, workspace.root / STATE / name, base_files, environ)
    base = reading.base
    if wish.local:
        texts, stack = _with_local(texts, wish.local(texts, stack, base), workspace.stacks[name])
    chosen = _chosen(stack, base, texts.sources if wish.local else texts.all)
    chosen = replace(chosen, enabled=compose.profiles(base_files[0].parent, environ))
    names = wish.move if not wish.everything else frozenset(chosen.forms)
    committed_choice = chosen if committed is stack else choose.choose(committed, base)[0]
    images, said_of_images = _image_values((stack, committed), reading)
    scene = plan.Scene(
        stack=stack,
        committed=committed,
        base=base,
        chosen=chosen,
        committed_choice=committed_choice,
        images=images,
        **_locks(folder, f"{workspace.stacks[name]}/{LOCK}", workspace.root / STATE / name),
        paths=_paths(workspace, name, base_files),
        schema=schema(),
        base_digest=reading.digest,
        compose=compose.identity(),
        move=frozenset(chosen.meant(name) or name for name in names),
        everything=wish.everything,
        frozen=wish.frozen,
        project=stack.name or base.name,
    )
    for said in (reading.said, said_of_images) if not wish.look else ():
        if said:
            said.keep()
    return Opened(workspace, name, folder, texts, base_files, scene, environ)


def _with_local(texts: Texts, text: str | None, folder: str) -> tuple[Texts, Stack]:
    if text is not None:
        texts = replace(texts, local=Source(posixpath.normpath(posixpath.join(folder, LOCAL)), text, "."))
    return texts, stacks_of(texts)[0]


def _base_files(folder: Path, stack: Stack, environ: Mapping[str, str], texts: Texts) -> tuple[Path, ...]:
    try:
        return compose.base_files(folder, stack.compose, stack.compose_is_list, environ)
    except HsmError as error:
        raise ConfigError(load.problem(texts.all, ("compose",), error.message, error.hint)) from error


def _paths(workspace: Workspace, name: str, base_files: tuple[Path, ...]) -> plan.Paths:
    base = os.path.relpath(base_files[0].parent, workspace.root)
    return plan.Paths(
        stack=workspace.stacks[name],
        base="" if base == "." else base,
        state=f"{STATE}/{name}",
        repos=workspace.settings.repos_dir,
    )


def _chosen(stack: Stack, base: Base, sources: Sequence[Source]) -> choose.Chosen:
    """The choice. Mistakes are shown in files that are on the disk: a switch has not been written yet."""
    chosen, findings = choose.choose(stack, base)
    if findings:
        raise ConfigError(*(load.problem(sources, f.path, f.message, f.hint) for f in findings))
    return chosen


def _image_values(stacks: tuple[Stack, Stack], reading: Reading) -> tuple[dict[str, str], Cached | None]:
    """Every image reference that any mode of any service may want."""
    different = stacks[:1] if stacks[0] is stacks[1] else stacks
    named = (form.image for stack in different for form in plan.named_images(stack, reading.base))
    return image_values(frozenset(image for image in named if image), reading)


def _locks(folder: Path, shown: str, state: Path) -> dict[str, lock.Lock]:
    """hsm.lock, and those below .hsm. There an edit by hand counts as a loss: a person's word goes into hsm.lock."""
    texts = {
        "lock": files.read_if_there(folder / LOCK) or "",
        "local_lock": files.read_own(state / "local.lock") or "",
        "last_lock": files.read_own(state / "last.lock") or "",
    }
    parsed = {text: lock.parse(text, posixpath.normpath(shown)) for text in dict.fromkeys(texts.values())}
    return {name: parsed[text] for name, text in texts.items()}


_schema: list[Schema] = []


def schema() -> Schema:
    """The compose schema that types scalars; parsed once a process."""
    if not _schema:
        _schema.append(schema_from(files.read(Path(__file__).parents[1] / "core" / "compose-spec.json")))
    return _schema[0]


# --- one checkout, many stacks ----------------------------------------------------------------------------------


def _refuse_shared_names(workspace: Workspace, name: str, texts: Texts, stack: Stack) -> None:
    """One folder below repos_dir can not hold two repositories, wherever in the workspace they are named; and of two
    stacks that are one project, each would remove the containers of the other."""
    mine = {s.repository.name: (s.name, s.repository) for s in stack.services.values() if s.repository}
    problems: list[Problem] = []
    for other, theirs in _others(workspace, name) if mine or stack.name else ():
        if stack.name and theirs.name == stack.name:
            message = f'"{stack.name}" is also the project of stack "{other}"'
            problems.append(load.problem(texts.all, ("name",), message, "each stack needs a name of its own"))
        for checkout, key in _repositories(theirs, workspace.stacks[other]):
            service, repository = mine.get(checkout, (None, None))
            folder = workspace.stacks[name]
            if repository is None or service is None or repository.path or _absolute(repository.key, folder) == key:
                continue
            problems.append(load.problem(
                texts.all,
                ("services", service, "repo"),
                f'the checkout "{checkout}" holds another repository in stack "{other}" ({key})',
                f"set services.{service}.repo.name to a name of its own",
            ))
    if problems:
        raise ConfigError(*problems)


def _others(workspace: Workspace, name: str) -> Iterator[tuple[str, Stack]]:
    """The other stacks, but those that are broken."""
    for other in workspace.stacks:
        if other == name:
            continue
        with contextlib.suppress(HsmError):
            yield other, stacks_of(read_texts(workspace, other))[0]


def _repositories(stack: Stack, folder: str) -> Iterator[tuple[str, str]]:
    """(checkout, url and ref) of every repository of a stack."""
    for service in stack.services.values():
        repository = service.repository
        if repository and repository.path is None:
            yield repository.name, _absolute(repository.key, folder)


def _absolute(key: str, folder: str) -> str:
    """A relative url means the same repository from every stack."""
    url, _, ref = key.rpartition(" ")
    return f"{posixpath.normpath(posixpath.join(folder, url))} {ref}" if giturl.is_relative(url) else key


