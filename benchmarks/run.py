"""All numbers of docs/performance.md, in one run: `python -m benchmarks.run [CASE…] [--rounds N] [--engine]`.

Everything lies in a temporary folder and on loopback. Without --engine no engine is asked for anything. It runs `hsm`
and `doit` of the environment whose python runs it; a plain install measures what users have (an editable one adds some
milliseconds to each start of Python).
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks import servers
from benchmarks.graphs import make_doit, make_ninja
from benchmarks.measure import Case, machine, number, program, ratio, run, side_by_side, summary, table
from benchmarks.workspaces import STACK, Shape, make

HSM, DOIT, PYTHON = program("hsm"), program("doit"), program("python")
LATENCY = 0.02
OFFLINE = {"DOCKER_HOST": "tcp://127.0.0.1:1"}
RSS = """
import os, resource, sys
from hsm_tasks import door
code = door.main(sys.argv[2:])
open(sys.argv[1], "w").write(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))
os._exit(code)
"""
READING = """
import gc, os, sys
import doit.doit_cmd
gc.disable()
from pathlib import Path
from hsm_tasks.run import certain, engine
from hsm_tasks import cli
from hsm_tasks.steps import starting, tasks
from hsm_tasks.stack import workspace
from hsm_tasks.stack.scene import open_stack
here = workspace.find(Path.cwd())
open_stack(here, here.pick(None, os.environ), os.environ)
os._exit(0)
"""
_TOOK = re.compile(r", ([0-9.]+) s$", re.MULTILINE)


def _ready(root: Path, shape: Shape) -> Path:
    """A workspace that has been synced until there is a snapshot."""
    make(root, shape)
    for _ in range(3):
        run(Case("first syncs", [HSM, "sync"], root, OFFLINE))
        time.sleep(0.1)
    return root


def nothing(folder: Path, rounds: int, sizes: tuple[int, ...] = (10, 100, 1000)) -> None:
    """A sync that has nothing to do, through both doors, beside what bounds it from below."""
    for size in sizes:
        shape = Shape(size)
        root = _ready(folder / f"hsm{size}", shape)
        ninja = make_ninja(folder / f"ninja{size}", shape)
        stock = make_doit(folder / f"doit{size}", shape, DOIT)
        found = side_by_side([
            Case("python -c pass", [PYTHON, "-c", "pass"], root),
            Case("python -c 'import re'", [PYTHON, "-c", "import re"], root),  # what pip's own script does first
            Case("ninja", ["ninja"], ninja),
            Case("hsm sync", [HSM, "sync"], root, OFFLINE),
            Case("import doit.doit_cmd", [PYTHON, "-c", "import doit.doit_cmd"], root),
            Case("doit sync", [DOIT, "sync"], root, OFFLINE),
            Case("stock doit", [DOIT, "sync"], stock),
            Case("hsm sync, no snapshot", [HSM, "sync"], root, {**OFFLINE, "HSM_SNAPSHOT": "off"}),
        ], rounds)
        table(f"### Nothing to do, {size} services (ms)", found)
        ratio(found, "hsm sync", "ninja", 2.0 if size >= 1000 else None)
        ratio(found, "hsm sync", "python -c pass", 1.5 if size <= 100 else None)
        ratio(found, "doit sync", "import doit.doit_cmd", 1.25 if size <= 100 else None)
        ratio(found, "doit sync", "stock doit", 0.6 if size >= 1000 else None)


def edit(folder: Path, rounds: int, sizes: tuple[int, ...] = (10, 100, 1000)) -> None:
    """One service edited: the sync after it, and of that the time that compose itself takes to judge the result."""
    for size in sizes:
        root = _ready(folder / f"edit{size}", Shape(size))
        config, log = root / "stacks" / STACK / "hsm.yaml", root / "log"
        turn = itertools.count()

        def change(config: Path = config, log: Path = log, turn: Iterator[int] = turn) -> None:
            text = re.sub(r"LOG_LEVEL: \w+", f"LOG_LEVEL: level{next(turn)}", config.read_text(), count=1)
            config.write_text(text)
            log.unlink(missing_ok=True)

        files = ["-f", f"stacks/{STACK}/docker-compose.yml", "-f", f"stacks/{STACK}/docker-compose.hsm.yml"]
        checks: list[float] = []
        as_asked = {**OFFLINE, "GOGC": "400"}  # as hsm has compose answer

        def note(log: Path = log, checks: list[float] = checks) -> None:
            steps = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
            checks.extend(step["seconds"] for step in steps if step["step"] == "check")

        found = side_by_side([
            Case("hsm sync after an edit", [HSM, "sync"], root, {**OFFLINE, "HSM_RUN_LOG": str(log)}, change),
            Case("compose config -q", ["docker", "compose", *files, "config", "-q"], root, as_asked, note),
        ], rounds)
        table(f"### One service edited, {size} services (ms)", found)
        note()
        edited, alone = found["hsm sync after an edit"], found["compose config -q"]
        ours = statistics.median(wall - check for wall, check in zip(edited.wall, checks[1:], strict=False))
        cpu = edited.cpu_median - alone.cpu_median
        number(f"an edit among {size}, without the check, s", ours, 0.35 if size >= 1000 else None, cpu)


def memory(folder: Path, rounds: int) -> None:
    """The most that the process itself has held (RUSAGE_SELF), at 1000 services."""
    root = folder / "memory"
    make(root, Shape(1000))
    for what, target in (("first sync", 150), ("no-op without a snapshot", 80), ("no-op", 80)):
        run(Case(what, [PYTHON, "-c", RSS, str(folder / "rss"), "sync"], root, OFFLINE))
        number(f"memory of a {what}, 1000 services, MB", int((folder / "rss").read_text()) / 1024, target)
        time.sleep(0.1)


def clone(folder: Path, rounds: int) -> None:
    """The first sync of 50 repositories over http with a latency, beside git alone with the same number of jobs."""
    with servers.repositories(folder / "git", 50) as (port, names), servers.late(port, LATENCY) as late:
        shape = Shape(50, git=f"http://127.0.0.1:{late}", every_dev=1, locked=False, groups=False)
        root = folder / "clone"
        make(root, shape)
        urls = folder / "urls"
        urls.write_text("\n".join(f"{shape.url(name)} {name}" for name in names) + "\n")
        beside = folder / "beside"

        def fresh() -> None:
            for path in (root / "repos", root / ".hsm", beside):
                shutil.rmtree(path, ignore_errors=True)
            (root / "stacks" / STACK / "hsm.lock").unlink(missing_ok=True)
            beside.mkdir()

        cases = []
        for jobs in (4, 8, 16):
            line = f"xargs -P {jobs} -L 1 git clone -q < {urls}"
            cases += [Case(f"git clone, {jobs} jobs", ["sh", "-c", line], beside, {}, fresh),
                      Case(f"hsm sync, {jobs} jobs", [HSM, "-n", str(jobs), "sync"], root, OFFLINE, fresh)]
        found = side_by_side(cases, rounds)
        table("### First sync of 50 repositories, http, 20 ms (ms)", found)
        best = min((8, 4, 16), key=lambda jobs: found[f"git clone, {jobs} jobs"].median)
        ratio(found, f"hsm sync, {best} jobs", f"git clone, {best} jobs", 1.1)


def resolve(folder: Path, rounds: int) -> None:
    """100 references of a registry with a latency: what the run itself says of the phase."""
    plain = Shape(100, every_dev=0, groups=False)
    with servers.registry(plain) as port, servers.late(port, LATENCY) as late:
        shape = Shape(100, registry=f"127.0.0.1:{late}", every_dev=0, locked=False, groups=False)
        root = folder / "resolve"
        make(root, shape)
        for path in (root / "stacks" / STACK).glob("*.y*ml"):
            path.write_text(path.read_text().replace("registry.example", shape.registry))
        case = Case("resolve", [HSM, "-n", "16", "resolve:*"], root, OFFLINE,
                    lambda: shutil.rmtree(root / ".hsm", ignore_errors=True))
        found = side_by_side([case], rounds)
        table("### 100 references, 20 ms, the whole command (ms)", found)
        phases = sorted(float(match[1]) for said in found["resolve"].said if (match := _TOOK.search(said)))
        number("resolve of 100 references, the phase alone, s", statistics.median(phases), 0.25)


def up_one(folder: Path, rounds: int) -> None:
    """`doit up:one` with its container running, at three sizes."""
    _with_engine(folder, rounds, (10, 100, 1000), dev=1)


def up_all(folder: Path, rounds: int) -> None:
    """A no-op `doit up` of 50 built services beside compose's own."""
    _with_engine(folder, rounds, (50,), dev=50)


def _with_engine(folder: Path, rounds: int, sizes: tuple[int, ...], dev: int) -> None:
    busybox = shutil.which("busybox") or "/bin/busybox"
    for size in sizes:
        root = folder / f"up{size}"
        stack = make(root, Shape(size, every_dev=size // dev, groups=False))
        text = (stack / "hsm.yaml").read_text().replace("name: hsm-bench", f"name: hsm-bench-{size}")
        (stack / "hsm.yaml").write_text(text.replace("    dev:\n", "    dev:\n      build: {context: .}\n"))
        for checkout in (root / "repos").iterdir():
            shutil.copy(busybox, checkout / "busybox")
        word = "up" if dev > 1 else "up:s0000"
        files = ["-f", "docker-compose.yml", "-f", "docker-compose.hsm.yml"]
        compose = ["docker", "compose", *files]
        try:
            for _ in range(3):
                run(Case("first", [DOIT, word], root))
            cases = [Case(f"doit {word}, {size} services", [DOIT, word], root)]
            if dev == 1:
                cases.append(Case("its reading alone", [PYTHON, "-c", READING], root))
            else:
                cases.append(Case("compose up -d --build", [*compose, "up", "-d", "--build"], stack,
                                  {"COMPOSE_PARALLEL_LIMIT": "8"}))
            found = side_by_side(cases, rounds)
        finally:
            down = [*compose, "down", "-t", "0", "--rmi", "local", "-v"]
            subprocess.run(down, cwd=stack, capture_output=True, check=False)
        table(f"### Nothing to do for {word}, {size} services (ms)", found)
        if dev > 1:
            ratio(found, cases[0].name, "compose up -d --build", 0.1)
            number(f"{cases[0].name}, s", found[cases[0].name].median, 0.3)
        else:
            growth = found[cases[0].name], found["its reading alone"]
            beyond = growth[0].median - growth[1].median
            number(f"{cases[0].name}, beyond reading, s", beyond, None, growth[0].cpu_median - growth[1].cpu_median)


CASES: dict[str, Callable[[Path, int], None]] = {
    "nothing": nothing, "edit": edit, "memory": memory, "clone": clone, "resolve": resolve,
}  # fmt: skip
WITH_ENGINE: dict[str, Callable[[Path, int], None]] = {"up:one": up_one, "up": up_all}


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure hsm beside what bounds it.")
    parser.add_argument("cases", nargs="*", help=f"of {', '.join((*CASES, *WITH_ENGINE))}; default: all that may run")
    parser.add_argument("--rounds", type=int, default=9, help="runs of each case (default: %(default)s)")
    parser.add_argument("--engine", action="store_true", help="also those that start containers")
    options = parser.parse_args()
    known = {**CASES, **WITH_ENGINE}
    chosen = options.cases or [*CASES, *(WITH_ENGINE if options.engine else ())]
    for name in chosen:
        with tempfile.TemporaryDirectory(prefix="hsm-bench-") as temporary:
            print(f"\n## {name}: {machine()}", flush=True)
            known[name](Path(temporary), options.rounds)
    summary()


if __name__ == "__main__":
    main()
