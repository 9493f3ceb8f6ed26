"""Times of programs, side by side: each round runs every case once, so all meet the same weather."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

Prepare = Callable[[], object]
_OURS = {"PYTHONDONTWRITEBYTECODE"}  # with it every start compiles all of hsm anew, as no user's does


@dataclass(frozen=True, slots=True)
class Case:
    """A command line, and what is done before each of its runs, outside of the clock."""

    name: str
    command: Sequence[str]
    folder: Path
    environ: Mapping[str, str] = field(default_factory=dict)
    before: Prepare = lambda: None


@dataclass(slots=True)
class Times:
    """Seconds, a number a run: by the clock on the wall, and of the processor (the program and its children)."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.wall)

    @property
    def cpu_median(self) -> float:
        return statistics.median(self.cpu)


def side_by_side(cases: Sequence[Case], rounds: int) -> dict[str, Times]:
    """name → times, after one run of each that does not count."""
    found = {case.name: Times() for case in cases}
    for number in range(rounds + 1):
        for case in cases:
            case.before()
            wall, cpu, said = run(case)
            if number:
                found[case.name].wall.append(wall)
                found[case.name].cpu.append(cpu)
                found[case.name].said.append(said)
    return found


def run(case: Case) -> tuple[float, float, str]:
    """Seconds, seconds of the processor, and what it said on stderr; RuntimeError where it fails."""
    environ = {name: value for name, value in os.environ.items() if name not in _OURS} | dict(case.environ)
    read, write = os.pipe()
    begun = time.perf_counter()
    child = subprocess.Popen(case.command, cwd=case.folder, env=environ, stdin=subprocess.DEVNULL,
                             stdout=subprocess.DEVNULL, stderr=write)
    os.close(write)
    with open(read, encoding="utf-8", errors="replace") as words:
        said = words.read()
    _, status, used = os.wait4(child.pid, 0)
    wall = time.perf_counter() - begun
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(f"{case.name}: exit {child.returncode}\n{said[-2000:]}")
    return wall, used.ru_utime + used.ru_stime, said


def table(title: str, found: Mapping[str, Times]) -> None:
    """The medians and the quickest run, in milliseconds."""
    print(f"\n{title}\n")
    print("| | wall, median | quickest | cpu, median |\n|---|---|---|---|")
    for name, times in found.items():
        row = (times.median, min(times.wall), times.cpu_median)
        print(f"| {name} | {' | '.join(f'{seconds * 1000:.1f}' for seconds in row)} |")
    print()


@dataclass(frozen=True, slots=True)
class Verdict:
    """One target: what was reached by the wall (and by the processor, the steadier one on a busy machine)."""

    what: str
    reached: float
    by_cpu: float | None
    target: float | None

    def __str__(self) -> str:
        cpu = "" if self.by_cpu is None else f"{self.by_cpu:.3g}"
        wanted = "" if self.target is None else f"{self.target:g}"
        return f"| {self.what} | {self.reached:.3g} | {cpu} | {wanted} | {'' if self.kept else 'missed'} |"

    @property
    def kept(self) -> bool:
        return self.target is None or self.reached <= self.target


verdicts: list[Verdict] = []


def ratio(found: Mapping[str, Times], ours: str, theirs: str, target: float | None) -> None:
    wall = found[ours].median / found[theirs].median
    cpu = found[ours].cpu_median / found[theirs].cpu_median
    _judge(Verdict(f"{ours} / {theirs}", wall, cpu, target))


def number(what: str, value: float, target: float | None, cpu: float | None = None) -> None:
    _judge(Verdict(what, value, cpu, target))


def _judge(verdict: Verdict) -> None:
    verdicts.append(verdict)
    print(verdict, flush=True)


def summary() -> None:
    """All targets of this run in one table."""
    print("\n## Targets\n\n| | reached | by cpu | at most | |\n|---|---|---|---|---|")
    print("\n".join(map(str, verdicts)))


def machine() -> str:
    """What it ran on, and how busy that was."""
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    versions = [_first_line("ninja", "--version"), _first_line("docker", "compose", "version", "--short"),
                _first_line("git", "--version")]  # fmt: skip
    return (f"{len(models)} x {models[0].partition(': ')[2]}, {platform.system()} {platform.release()}, "
            f"Python {platform.python_version()}, ninja {versions[0]}, compose {versions[1]}, {versions[2]}; "
            f"load {load}")


def _first_line(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except FileNotFoundError:
        return "none"


def program(name: str) -> str:
    """A program of the environment that runs this."""
    return str(Path(sys.executable).parent / name)
