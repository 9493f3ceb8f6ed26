"""What can be told of a dodo.py without running it."""

from __future__ import annotations

import pytest

from hsm_tasks.core import dodofile

LINE = "from hsm_tasks.door import DOIT_CONFIG, hsm  # noqa: F401\n"


def test_only_a_file_with_the_import_line_is_ours() -> None:
    assert dodofile.is_door(f'"""Words."""\n{LINE}')
    assert not dodofile.is_door("def task_build(): ...\n")
    assert not dodofile.is_door("# hsm_tasks.door is spoken of\n")
    assert dodofile.is_door(f"{LINE}def broken(:\n"), "so that it is run, and the mistake is told"


def test_a_file_with_nothing_else_need_not_be_run() -> None:
    assert dodofile.is_bare(f'"""Words."""\n\n{LINE}')
    assert not dodofile.is_bare(f"{LINE}import os\n")
    assert not dodofile.is_bare(f"{LINE}def broken(:\n")


@pytest.mark.parametrize(
    "more",
    [
        "def task_a(now=1, *, then=(2, 'b')):\n    return {'actions': [launch()]}\n",
        "import os, json\nfrom pathlib import Path\n",
        "from hsm_tasks.api import stack\n",
        "TABLES = ['users', {'a': 1}]\n",
    ],
)
def test_a_file_that_only_defines_is_quiet(more: str) -> None:
    assert dodofile.is_quiet(LINE + more)


@pytest.mark.parametrize(
    "more",
    [
        "import os\nos.environ['TAG'] = '1'\n",
        "from mine import task_a\n",
        "import mine\n",
        "NOW = time()\n",
        "def task_a(now=time()): ...\n",
        "@decorated\ndef task_a(): ...\n",
        "DOIT_CONFIG = {'default_tasks': ['a']}\n",
        "DOIT_CONFIG['default_tasks'] = ['a']\n",
        "class A: x = print()\n",
        "def broken(:\n",
    ],
)
def test_a_file_that_does_anything_is_not(more: str) -> None:
    assert not dodofile.is_quiet(LINE + more)


def test_the_names_of_tasks_can_be_read_off() -> None:
    text = f"{LINE}from mine import task_b, helper, other as task_c\ndef task_a(): ...\ndef no(): ...\n"
    assert dodofile.task_names(text) == ("b", "c", "a")
    assert dodofile.task_names("def broken(:\n") == ()
