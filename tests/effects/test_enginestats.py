"""What is made of the engine's numbers; that it gives them, tests/commands/test_up.py sees."""

from __future__ import annotations

from typing import Any

import pytest

from hsm_tasks.effects.enginestats import Use, _use

STATS: dict[str, Any] = {
    "memory_stats": {"usage": 5000, "stats": {"inactive_file": 1000}},
    "cpu_stats": {"cpu_usage": {"total_usage": 300}, "system_cpu_usage": 2000, "online_cpus": 4},
    "precpu_stats": {"cpu_usage": {"total_usage": 100}, "system_cpu_usage": 1000},
    "pids_stats": {"current": 3},
}


def test_files_that_the_kernel_may_forget_do_not_count_and_processors_do_as_such() -> None:
    limits = {"Memory": 8192, "NanoCpus": 500_000_000, "PidsLimit": 10}
    assert _use(STATS, limits) == Use(4000, 8192, 0.8, 0.5, 3, 10)


@pytest.mark.parametrize("limits", [{}, {"Memory": 0, "NanoCpus": 0, "PidsLimit": -1, "CpuQuota": -1}])
def test_no_limit_is_none(limits: dict[str, Any]) -> None:
    assert _use(STATS, limits) == Use(4000, None, 0.8, None, 3, None)


def test_a_share_of_a_period_is_a_number_of_processors() -> None:
    assert _use(STATS, {"CpuQuota": 50_000, "CpuPeriod": 20_000}).cpus_limit == 2.5


def test_what_an_engine_does_not_measure_is_not_known() -> None:
    assert _use({"memory_stats": {}, "cpu_stats": {}}, {}) == Use(None, None, None, None, None, None)
