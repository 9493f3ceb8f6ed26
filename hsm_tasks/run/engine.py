"""doit as the engine of hsm: a list of task dictionaries and a command line in, an exit code out.

Here, in `ledger`, `records` and `state` are our seams into doit, and nothing else. What each of them mends is said
beside it; tests/test_engine.py holds doit to what they need.
"""

from __future__ import annotations

import difflib
import functools
import gc
import getopt
import itertools
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Required, TypedDict, Unpack

from doit.cmd_base import DoitCmdBase, TaskLoader2, tasks_and_deps_iter
from doit.cmd_clean import Clean
from doit.cmd_completion import TabCompletion
from doit.cmd_forget import Forget
from doit.cmd_help import Help
from doit.cmd_ignore import Ignore
from doit.cmd_info import Info
from doit.cmd_list import List
from doit.cmd_resetdep import ResetDep
from doit.cmd_run import Run
from doit.cmdparse import CmdOption, CmdParse, CmdParseError
from doit.control import TaskControl
from doit.doit_cmd import DoitMain
from doit.exceptions import InvalidCommand, InvalidTask
from doit.plugin import PluginDict
from doit.reporter import ConsoleReporter, ErrorOnlyReporter, ExecutedOnlyReporter, JsonReporter, ZeroReporter
from doit.task import Task, dict_to_task

from hsm_tasks.core.errors import mistake
from hsm_tasks.run.fingerprint import Fingerprint, Words, fingerprint_of
from hsm_tasks.run.ledger import Crew, Ledger, Recorded, RunLog, guarded, is_step
from hsm_tasks.run.records import Records, is_own

__all__ = ["Fingerprint", "Records", "Words", "fingerprint_of", "guarded", "run", "split"]

INTERRUPTED = 130
Step = Mapping[str, Any]


class Session(TypedDict, total=False):
    """The keywords of `run`."""

    state_file: Required[Path | None]
    """None: nothing is remembered."""
    reporter: type
    """The class that talks, where the line has no -r."""
    mask: Callable[[str], str]
    """What takes out of a failure what nobody is to see, where the line has a -r: doit's own reporters do not."""
    jobs: int
    """How many steps run at once, where the line has no -n; 0: one, in the main thread."""
    own: Sequence[Task]
    """Tasks of the user, as doit makes them; their names are none of ours."""
    config: Mapping[str, Any]
    """What the user's DOIT_CONFIG says."""
    default_tasks: Sequence[str]
    again: str
    """What a person types to go on with a run that was interrupted."""
    on_interrupt: Callable[[], None]
    """Called at Ctrl-C, to end the children of the steps that still run."""
    gone: Callable[[str], bool]
    """Whether a step of this name, which is not among the tasks, can never come back: then its row is dropped."""
    records: Records
    """What is remembered, where the caller has looked at it already."""
    certain: Sequence[str]
    """Steps that are needed, are certain to be fresh, and so are not among the tasks."""
    on_fresh: Callable[[list[str], list[str]], None]
    """Called when a run has ended in which every step was fresh: their names, and the files of those that are tasks."""


def run(argv: Sequence[str], tasks: Sequence[Step], **session: Unpack[Session]) -> int:
    """Do one doit command. 0: done; 1: a step failed; 2: a bug showed in a step; 130: interrupted.

    The caller has checked the names in argv. Raises ConfigError if the command line is wrong, HsmError if the state
    file cannot be kept, and whatever a bug outside of the steps raises (doit would print it and call that 3).
    """
    loader = Loader(tasks, session)
    collecting = gc.isenabled()
    gc.disable()  # a run that does nothing lives too short to collect: a quarter of its time. A step turns it on again
    try:
        code = int(_Main(loader, config_filenames=()).run(list(argv)) or 0)  # type: ignore[no-untyped-call]
    except KeyboardInterrupt:
        loader.crew.dismiss(session.get("on_interrupt", lambda: None))
        sys.stderr.write(f"interrupted: {_left(loader.ledger, session.get('again', ''))}\n")
        return INTERRUPTED
    finally:
        loader.records.backend.dump()
        gc.unfreeze()
        if collecting:
            gc.enable()
        else:
            gc.disable()
    if loader.crash is not None:
        raise loader.crash
    on_fresh = session.get("on_fresh")
    if code == 0 and on_fresh is not None and loader.fresh is not None:
        on_fresh(*loader.fresh)
    return code


def split(argv: Sequence[str]) -> tuple[str, list[str], list[str]]:
    """doit's own reading of a line: the command ("run" where none is named), its options as written, and the rest."""
    args = list(argv)
    known = {command.get_name(): command for command in _Main.DOIT_CMDS}  # type: ignore[no-untyped-call]
    name = args.pop(0) if args and args[0] in known else "run"
    options = [CmdOption(option) for option in (*known[name].base_options, *known[name].cmd_options)]  # type: ignore[no-untyped-call]
    parser = CmdParse(options)  # type: ignore[no-untyped-call]
    try:
        _, rest = getopt.getopt(args, parser.get_short(), parser.get_long())  # type: ignore[no-untyped-call]
    except getopt.GetoptError as error:
        long = [option.rstrip("=") for option in parser.get_long()]  # type: ignore[no-untyped-call]
        near = difflib.get_close_matches(error.opt, long, n=1)
        meant = f"did you mean --{near[0]}? " if near else ""
        raise mistake(str(error), f"{meant}`help {name}` lists the options") from error
    return name, args[: len(args) - len(rest)], rest


def _left(ledger: Ledger | None, again: str) -> str:
    """What is saved, what is left to do, and how."""
    left = ledger.left() if ledger else []
    if not left:
        return "what had finished is saved"
    names = ", ".join(left[:4]) + (f" and {len(left) - 4} more" if len(left) > 4 else "")
    steps = "1 step is" if len(left) == 1 else f"{len(left)} steps are"
    told = f"what had finished is saved; {steps} left: {names}"
    return f"{told}\n  run `{again}` again: it goes on from there" if again else told


class Loader(TaskLoader2):
    """Task dictionaries as doit's Task objects; the groups of `basename` come by themselves."""

    def __init__(self, tasks: Sequence[Step], session: Session) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.tasks, self.session = tasks, session
        self.records = session.get("records") or Records(session["state_file"] or Path(":memory:"))
        self.crew = Crew()
        self.ledger: Ledger | None = None
        self.crash: Exception | None = None
        self.fresh: tuple[list[str], list[str]] | None = None

    def load_doit_config(self) -> dict[str, Any]:
        """Defaults: what stands on the command line wins."""
        given = self.session
        config = {"reporter": given.get("reporter", ConsoleReporter), "num_process": given.get("jobs", 0)}
        config |= {"outfile": sys.stdout, "default_tasks": given.get("default_tasks")}
        return config | dict(given.get("config", {}))

    def load_tasks(self, cmd: DoitCmdBase, pos_args: Sequence[str]) -> list[Any]:
        """As doit's own loader would, but a task that is there itself needs no group: `logs` beside `logs:api`."""
        made: dict[str, Task] = {}
        plain = {str(task["basename"]) for task in self.tasks if "name" not in task}
        for dictionary in self.tasks:
            task, basename = _task(dictionary)
            if basename is not None and basename not in plain:
                if basename not in made:
                    made[basename] = Task(basename, None, has_subtask=True)  # type: ignore[no-untyped-call]
                made[basename].task_dep.append(task.name)
            if task.name in made:
                raise InvalidTask(f"two tasks are called {task.name}")
            made[task.name] = task
        return [*made.values(), *self.session.get("own", ())]


def _task(dictionary: Step) -> tuple[Task, str | None]:
    """The task, and its basename if it is a subtask.

    Actions keep their hands off sys.stdout: doit would swap it for all threads at once (doit issue 363).
    """
    values = {"io": {"capture": False}, "verbosity": 0, **dictionary}
    basename = values.pop("basename")
    values["name"] = f"{basename}:{values['name']}" if "name" in values else basename
    if values.get("meta"):
        values["meta"] = dict(values["meta"])  # the ledger writes in it
    task: Task = dict_to_task(values)  # type: ignore[no-untyped-call]
    if "name" in dictionary:
        task.subtask_of = basename
        return task, basename
    return task, None


class _Command(DoitCmdBase):
    """Mixed into doit's commands: our records, no search for plugins of other packages, errors out by one door."""

    loader: Loader

    def get_backends(self) -> dict[str, type]:
        return {}

    def execute(self, params: Any, args: list[str]) -> Any:
        self.dep_manager = self.loader.records
        return super().execute(params, args)  # type: ignore[no-untyped-call]

    def parse_execute(self, in_args: list[str]) -> Any:
        """doit prints the traceback of what it does not expect and calls it 3; `run` raises it."""
        try:
            return super().parse_execute(in_args)  # type: ignore[no-untyped-call]
        except CmdParseError as error:
            said = str(error).partition(" (parsing options:")[0].removeprefix("Error parsing Command: ")
            self.loader.crash = mistake(said, f"`help {self.get_name()}` lists the options")  # type: ignore[no-untyped-call]
        except InvalidCommand as error:
            said = f'"{error.not_found}" is no step and no file of one' if error.not_found else str(error)
            self.loader.crash = mistake(said)
        except Exception as error:  # noqa: BLE001, RUF100 - not lost: run() raises it
            if isinstance(error.__context__, KeyboardInterrupt):  # doit's json reporter stumbles over a half run
                raise error.__context__ from None
            self.loader.crash = error
        return 2


class _Run(_Command, Run):
    name = "run"

    def get_reporters(self) -> dict[str, type[Any]]:
        """doit's own. To look for those of other packages takes as long as to look at a hundred steps."""
        kinds = (ConsoleReporter, ExecutedOnlyReporter, JsonReporter, ZeroReporter, ErrorOnlyReporter)
        names = ("console", "executed-only", "json", "zero", "error-only")
        found: dict[str, type[Any]] = dict(zip(names, kinds, strict=True))
        self.cmdparser["reporter"].choices = {name: kind.desc for name, kind in found.items()}
        return found

    @functools.wraps(Run._execute)  # doit reads the names of the options from the signature
    def _execute(self, outfile: Any, **options: Any) -> int:  # type: ignore[override]
        if options["num_process"] < 0:
            raise InvalidCommand("-n wants a number that is not negative")  # type: ignore[no-untyped-call]
        session, records = self.loader.session, self.loader.records
        asked = options["reporter"]
        spoken = options["verbosity"] if options["force_verbosity"] else None
        named = os.environ.get("HSM_RUN_LOG")
        certain = session.get("certain", ())
        ledger = Ledger(records, self.loader.crew, RunLog(Path(named) if named else None), certain)
        self.loader.ledger = ledger
        chosen = self.reporters[asked] if isinstance(asked, str) else asked
        hide = session.get("mask")
        seams = {"ledger": ledger, "verbosity": spoken}
        if hide and asked is not chosen:
            seams["mask"] = staticmethod(hide)
        # Threads: a fork would share the state file, and cannot see what on_interrupt has to end.
        options |= {"reporter": type(chosen.__name__, (Recorded, chosen), seams), "par_type": "thread"}
        options |= {"verbosity": 0, "force_verbosity": True}
        if spoken == 0:
            for task in self.task_list:
                ledger.hush(task)
        gone = session.get("gone")
        if gone is not None:
            known = {*certain, *(task.name for task in self.task_list)}
            records.backend.drop(lambda name: name not in known and gone(name))
        code: int = super()._execute(outfile, **options)  # type: ignore[no-untyped-call]
        if set(ledger.results.values()) == {"fresh"}:
            tasks = ledger.tasks.values()
            self.loader.fresh = [*ledger.results], [path for task in tasks for path in (*task.file_dep, *task.targets)]
        return ledger.worst or code


class _Clean(_Command, Clean):
    """doit's own says which function it calls. Ours says what it removed."""

    name = "clean"

    def clean_tasks(self, tasks: Sequence[Any], dryrun: bool, forget_tasks: bool) -> None:
        """Of steps the clean action gives a sentence for each file; what else there is cleans as in doit."""
        once = {task.name: task for task in tasks}
        ours = {name: task for name, task in once.items() if is_step(task) and not is_own(task)}
        actions = [action for task in ours.values() for action in task.clean_actions]
        words = {word for action in actions for word in action.py_callable(*action.args, dryrun=dryrun)}
        self.outstream.write("".join(f"{word}\n" for word in sorted(words)))
        if forget_tasks and not dryrun and self.dep_manager:
            for name in ours:
                self.dep_manager.remove(name)
        others = [task for name, task in once.items() if name not in ours]
        super().clean_tasks(others, dryrun, forget_tasks)  # type: ignore[no-untyped-call]


class _Forget(_Command, Forget):
    """doit's own forgets what was named alone: of a word, which is no step, that is nothing. Ours forgets its steps."""

    name = "forget"

    @functools.wraps(Forget._execute)
    def _execute(self, *, forget_all: bool, forget_disable_default: bool, **options: Any) -> None:  # type: ignore[override]
        forget_all |= self.sel_default_tasks and not forget_disable_default
        if not forget_all:
            self.sel_tasks = self._meant(self.sel_tasks or ())
        options |= {"forget_all": forget_all, "forget_disable_default": forget_disable_default}
        super()._execute(**options)  # type: ignore[no-untyped-call]

    def _meant(self, names: Sequence[str]) -> list[str]:
        tasks = TaskControl(self.task_list).tasks  # type: ignore[no-untyped-call] # they know now whose files they read
        found = (_behind(name, tasks) if name in tasks else [name] for name in names)
        return list(dict.fromkeys(itertools.chain.from_iterable(found)))


def _behind(name: str, tasks: Mapping[str, Task]) -> list[str]:
    """The steps that a word stands for; the name itself where it is a step, a group of steps, or the user's."""
    task = tasks[name]
    if not task.meta or is_step(task) or is_own(task):
        return [name]
    needed = tasks_and_deps_iter(tasks, [name])  # type: ignore[no-untyped-call]
    return [one.name for one in needed if is_step(one) and not is_own(one)]


class _DumpDB(_Command):
    """doit's own knows dbm files only."""

    name = "dumpdb"
    doc_purpose = "show what is remembered of each step"

    def _execute(self) -> int:
        for name, row in sorted(self.loader.records.backend.rows().items()):
            self.outstream.write(f"{name} -> {json.dumps(row, indent=2)}\n")
        return 0


class _Main(DoitMain):
    """doit's commands, ours mixed in. strace is left out: it follows shell commands only."""

    DOIT_CMDS: tuple[type[DoitCmdBase], ...] = (  # type: ignore[assignment]
        _Run,
        _DumpDB,
        _Clean,
        _Forget,
        *(
            type(command.__name__, (_Command, command), {})
            for command in (Help, List, Info, Ignore, ResetDep, TabCompletion)
        ),
    )

    def get_cmds(self) -> PluginDict:
        """Without the search for plugins: one that cannot be imported would kill the command."""
        return PluginDict((command.get_name(), command) for command in self.DOIT_CMDS)  # type: ignore[no-untyped-call]
