"""Random stories, in processes of their own so that all cores are used: 300, and 5000 with HSM_LONG.

HSM_SEED=N tells the stories of N000, N001, …; `python -m tests.model.run SEED COUNT` those of one seed. What fails is
printed as the shortest story that does: put it into test_examples.py, where it stays.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.model.run import scratch

REPOSITORY = Path(__file__).resolve().parents[2]
LONG = bool(os.environ.get("HSM_LONG"))
STORIES = 5000 if LONG else 300
PROCESSES = max(3, min(8, os.cpu_count() or 2))
USUAL_SEEDS = (8001, 8002, 8027)


def test_no_sequence_of_edits_and_runs_breaks_a_promise(capsys: pytest.CaptureFixture[str]) -> None:
    number = int(os.environ.get("HSM_SEED") or random.randrange(10**6))
    usual = not (LONG or os.environ.get("HSM_SEED"))
    seeds = USUAL_SEEDS if usual else tuple(number * 1000 + part for part in range(PROCESSES))
    share = -(-STORIES // len(seeds))
    with capsys.disabled():
        print(f"\n{share * len(seeds)} stories of the seeds {', '.join(map(str, seeds))}", flush=True)
    with scratch() as place:
        running = []
        for seed in seeds:
            words = ["-m", "tests.model.run", str(seed), str(share)]
            command = [sys.executable, *words, str(place / str(seed))]
            pipe = subprocess.PIPE
            running.append((words, subprocess.Popen(command, cwd=REPOSITORY, stdout=pipe, stderr=pipe, text=True)))
        ended = [(words, *process.communicate(), process.returncode) for words, process in running]
    for words, out, said, code in ended:
        assert code == 0, f"python {' '.join(words)}\n{out}{said}"
    counts = [json.loads(out) for _, out, _, _ in ended]
    assert sum(count["stories"] for count in counts) >= STORIES
    # what the generator must have reached, or it proves nothing
    reached = ("compared", "exit -9", "exit 1", "Tamper", "Switch", "During", "Move", "Push", "Work")
    for what in (*reached, "short", "planned", "Sneak"):
        assert sum(count.get(what, 0) for count in counts) > STORIES / 20, what
    with capsys.disabled():
        print({what: sum(count.get(what, 0) for count in counts) for what in counts[0]})
