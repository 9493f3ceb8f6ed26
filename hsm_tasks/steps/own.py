"""The user's own tasks: dodo.py is run, its `task_` functions are asked, and what they give becomes tasks beside ours.

doit's own loader gives one list without places, and only after it has opened a state file; so the functions are found
here, and each is asked by itself: then a mistake is told with the file and the line of the function. The dictionaries
are doit's affair, and doit judges them.
"""

from __future__ import annotations

import contextlib
import inspect
import os
import sys
import traceback
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from hsm_tasks.core import dodofile
from hsm_tasks.core.errors import ConfigError, HsmError, Problem
from hsm_tasks.effects import files
from hsm_tasks.screen.words import COMMANDS, DOIT, STEPS, SWITCHES

FILE = "dodo.py"
TAKEN = frozenset({*COMMANDS, *DOIT, *STEPS, "help", "dumpdb", "strace", "auto"})
"""Words that mean something already."""
_FOLLOWED = ("default_tasks", "num_process", "continue", "action_string_formatting")
_HARMLESS = ("verbosity", "par_type", "minversion", "sort")  # hsm has its own word on these, and says so
_STATE = "what hsm remembers of steps is in .hsm/STACK/state.db, for your tasks as well"
Task = Any
"""doit's, which has no types."""


class Creator(msgspec.Struct, frozen=True):
    """A function that makes tasks: the name that they have by default, and where it stands."""

    name: str
    make: Callable[..., Any]
    file: str
    line: int

    def problem(self, message: str, hint: str = "") -> ConfigError:
        """A mistake in what it makes."""
        return ConfigError(Problem(self.file, self.line, 1, "", message, hint))


class Dodo(msgspec.Struct, frozen=True):
    """A dodo.py that has been run."""

    root: Path
    creators: tuple[Creator, ...]
    config: Mapping[str, Any]


class Own(msgspec.Struct, frozen=True):
    """Tasks of the user, by name, each with its creator."""

    tasks: Mapping[str, Task] = msgspec.field(default_factory=dict)
    creators: Mapping[str, Creator] = msgspec.field(default_factory=dict)

    def needs(self, name: str) -> tuple[str, ...]:
        """The tasks that one of them names as needed; what it reads is another matter."""
        task = self.tasks[name]
        return (*task.task_dep, *task.setup_tasks, *task.calc_dep)


def read(root: Path, variables: Mapping[str, str]) -> Dodo | None:
    """Runs the dodo.py of a workspace; None where there is none that has more than the import line of hsm.

    `variables` are for doit's get_var. ConfigError, with the place, for whatever stops it.
    """
    path = root / FILE
    text = files.read_if_there(path)
    if text is None or not dodofile.is_door(text) or dodofile.is_bare(text):
        return None
    from doit import doit_cmd

    doit_cmd.reset_vars()  # type: ignore[no-untyped-call]
    for name, value in variables.items():
        doit_cmd.set_var(name, value)  # type: ignore[no-untyped-call]
    module = types.ModuleType("dodo", None)
    module.__file__ = str(path)
    sys.modules["dodo"] = module
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    try:
        exec(compile(text, str(path), "exec"), vars(module))  # noqa: S102 - it is the user's program, as for doit
    except Exception as error:
        _stopped(root, error, "dodo.py stops here")
    except SystemExit as error:
        _stopped(root, error, "dodo.py ends the program here")
    found = tuple(_creators(root, vars(module)))
    return Dodo(root, found, _config(text, vars(module)))


def tasks(dodo: Dodo | None, args: Sequence[str] = ()) -> Own:
    """What its functions give for the stack that `hsm_tasks.api` tells of. `args`: the words of the command line."""
    made: dict[str, Task] = {}
    by: dict[str, Creator] = {}
    for creator in dodo.creators if dodo else ():
        assert dodo is not None
        for task in _asked(dodo.root, creator, args):
            _refuse_name(task.name, creator, by)
            made[task.name], by[task.name] = _fitted(task), creator
    return Own(made, by)


# --- the file ----------------------------------------------------------------------------------------------------


def _stopped(root: Path, error: BaseException, what: str) -> NoReturn:
    """Told where it happened in the user's own files: our part of the traceback helps nobody."""
    if isinstance(error, ConfigError):
        raise error
    said, hint = "".join(traceback.format_exception_only(error)).strip().splitlines()[-1], _hint(error)
    if isinstance(error, HsmError):
        said, hint = error.message, error.hint
    place = _syntax_place(error) or _place(root, error) or (FILE, 1, 1)
    shown = Path(place[0])
    name = str(shown.relative_to(root)) if shown.is_relative_to(root) else str(shown)
    raise ConfigError(Problem(name, place[1], place[2], "", f"{what}: {said}", hint)) from error


def _syntax_place(error: BaseException) -> tuple[str, int, int] | None:
    if isinstance(error, SyntaxError) and error.filename and error.lineno:
        return error.filename, error.lineno, error.offset or 1
    return None


def _place(root: Path, error: BaseException) -> tuple[str, int, int] | None:
    """The innermost line of the workspace's own files."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_own(root, frame.filename)]
    return (frames[-1].filename, frames[-1].lineno or 1, (frames[-1].colno or 0) + 1) if frames else None


def _is_own(root: Path, filename: str) -> bool:
    path = Path(filename)
    inside = path.is_relative_to(root) and "site-packages" not in path.parts
    return inside and not path.is_relative_to(Path(__file__).parents[1])


def _hint(error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError):
        return f"hsm runs with {sys.executable}: is {error.name} installed there?"
    return ""


def _creators(root: Path, namespace: Mapping[str, Any]) -> Iterator[Creator]:
    """The functions that doit would take, in the order in which they stand there."""
    for name, found in namespace.items():
        make = getattr(found, "create_doit_tasks", None) if not isinstance(found, type) else None
        if name.startswith("task_") and (inspect.isfunction(found) or inspect.ismethod(found)):
            make, name = found, name.removeprefix("task_")
        elif not callable(make) or type(found).__module__ == dodofile.DOOR:
            continue
        else:
            name = str(getattr(make, "basename", name))
        code = inspect.unwrap(make).__code__ if hasattr(inspect.unwrap(make), "__code__") else None
        file, line = (Path(code.co_filename), code.co_firstlineno) if code else (root / FILE, 1)
        shown = str(file.relative_to(root)) if file.is_relative_to(root) else str(file)
        yield Creator(name, make, shown, line)


def _config(text: str, namespace: Mapping[str, Any]) -> dict[str, Any]:
    """What DOIT_CONFIG says beyond what is ours; a key that hsm can not follow is refused."""
    given, ours = namespace.get("DOIT_CONFIG", {}), namespace_of_door()
    line = next((n for n, one in enumerate(text.splitlines(), 1) if one.lstrip().startswith("DOIT_CONFIG")), 1)
    if not isinstance(given, Mapping):
        raise ConfigError(Problem(FILE, line, 1, "", "DOIT_CONFIG must be a dictionary"))
    own = {key: value for key, value in given.items() if ours.get(key) != value}
    wrong = sorted(str(key) for key in own if key not in (*_FOLLOWED, *_HARMLESS))
    if wrong:
        known = ", ".join((*_FOLLOWED, *_HARMLESS))
        raise ConfigError(*(Problem(FILE, line, 1, f"DOIT_CONFIG.{key}", "hsm can not follow this key of doit",
                                    f"{_STATE}; known: {known}") for key in wrong))
    return {key: own[key] for key in own if key in _FOLLOWED}


def namespace_of_door() -> Mapping[str, Any]:
    """The DOIT_CONFIG that dodo.py imports."""
    door = sys.modules.get(dodofile.DOOR)
    return getattr(door, "DOIT_CONFIG", {})


# --- tasks -------------------------------------------------------------------------------------------------------


def _asked(root: Path, creator: Creator, args: Sequence[str]) -> Sequence[Task]:
    from doit.exceptions import InvalidTask
    from doit.loader import load_tasks

    if hasattr(creator.make, "doit_create_after"):
        hint = "let the function make its tasks at once; what comes first is said by task_dep"
        raise creator.problem("no task of hsm can be made late (create_after): the graph is whole before it runs", hint)
    try:
        # doit looks for functions by name; with one in the namespace, a mistake is that one's
        given = {f"task_{creator.name}": creator.make}
        found: Sequence[Task] = load_tasks(given, args=[arg for arg in args if arg])  # type: ignore[no-untyped-call]
    except InvalidTask as error:
        raise creator.problem(f"this is no task: {error}") from error
    except (Exception, SystemExit) as error:
        _stopped(root, error, f"the task function {creator.name} stops here")
    return found


def _refuse_name(name: str, creator: Creator, by: Mapping[str, Creator]) -> None:
    head = name.partition(":")[0]
    if head in TAKEN:
        raise creator.problem(f'the task "{name}" has a word of hsm as its name', "call the function otherwise")
    if name in by:
        other = by[name]
        raise creator.problem(f'two functions make the task "{name}"', f"the other one: {other.file}:{other.line}")


def _fitted(task: Task) -> Task:
    """As our scheduler needs it: threads must not swap sys.stdout, so only programs are captured, and only on request.

    A task without actions is a group, and no step.
    """
    asked, programs = task.io.capture, task.actions and all(hasattr(one, "save_out") for one in task.actions)
    saves = any(getattr(one, "save_out", None) for one in task.actions)
    explicit = asked is not True  # doit's default is True: nobody has asked
    task.io.capture = bool(programs and saves) or (asked if explicit and programs else False)
    task.meta = {**(task.meta or {}), "step": bool(task.actions), "own": True}
    return task


# --- how they hang together --------------------------------------------------------------------------------------


def tied(own: Own, known: Iterable[str], find: Callable[[str], list[str]]) -> None:
    """Names in task_dep, setup and calc_dep, aliases and patterns of ours too, become names of tasks.

    `find` gives the tasks of ours that a word means, or raises ConfigError.
    """
    ours = frozenset(known)
    for name, task in own.tasks.items():
        creator = own.creators[name]
        task.task_dep[:] = [*_meant((*task.task_dep, *task.wild_dep), own, ours, creator, find)]
        task.wild_dep[:] = []
        task.setup_tasks[:] = [*_meant(task.setup_tasks, own, ours, creator, find)]


def _meant(
    words: Iterable[str], own: Own, ours: frozenset[str], creator: Creator, find: Callable[[str], list[str]]
) -> dict[str, None]:
    from fnmatch import fnmatchcase

    found: dict[str, None] = {}
    for word in words:
        matching = [name for name in own.tasks if name == word or fnmatchcase(name, word)]
        if not matching and word.partition(":")[0] in SWITCHES:
            raise creator.problem(f'a task can not need "{word}", which is a switch', f"say it before: `hsm {word} …`")
        if not matching:
            try:
                matching = [word] if word in ours else find(word)
            except ConfigError as error:
                first = error.problems[0]
                raise creator.problem(f"the task needs what is not there: {first.message}", first.hint) from error
        found |= dict.fromkeys(matching)
    return found


def needed(own: Own, only: Iterable[str]) -> list[Task]:
    """These tasks of the user, with all of theirs that they need; the others may name tasks that are not made."""
    makers = {path: task.name for task in own.tasks.values() for path in task.targets}
    found: dict[str, Task] = {}
    waiting = list(only)
    while waiting:
        name = waiting.pop()
        if name in own.tasks and name not in found:
            found[name] = own.tasks[name]
            waiting += own.needs(name)
            waiting += [makers[path] for path in own.tasks[name].file_dep if path in makers]
    return [task for name, task in own.tasks.items() if name in found]


def meet(own: Own, outputs: Iterable[str], root: Path) -> None:
    """Spells what they read of ours as we do: doit sees that a file is another task's only by its very words."""
    spelled = {os.path.normpath(root / path): path for path in outputs}
    for task in own.tasks.values():
        task.file_dep = {spelled.get(os.path.normpath(root / path), path) for path in task.file_dep}


def arguments(task: Task, waiting: Sequence[str]) -> int:
    """How many of the words behind a task's name are its own: its options with their values, or all for a pos_arg."""
    import getopt

    from doit.cmdparse import CmdOption, TaskParse

    if task.pos_arg is not None:
        return len(waiting)
    options = [CmdOption(option) for option in (*task.params, *task.creator_params)]  # type: ignore[no-untyped-call]
    parser = TaskParse(options)  # type: ignore[no-untyped-call]
    known = parser.get_short(), parser.get_long()  # type: ignore[no-untyped-call]
    taken = 0
    while taken < len(waiting) and waiting[taken].startswith("-"):
        for size in (1, 2):  # an option alone, or one with the value behind it
            with contextlib.suppress(getopt.GetoptError):
                getopt.getopt(list(waiting[taken : taken + size]), *known)
                taken += size
                break
        else:
            break  # it is none of the task's: perhaps it is the run's
    return taken
