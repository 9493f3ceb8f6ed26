"""The state file: one row of JSON for each step, in sqlite3, behind doit's backend interface.

doit's own backends write only when a run ends, so a kill loses all of it; this one commits each step as it ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from hsm_tasks.core.errors import HsmError

SCHEMA = 0x68736D01
_BUSY_SECONDS = 30.0
_OWN_KEYS = frozenset({"_values_:", "result:", "checker:", "deps:", "ignore:"})
# doit sets "deps:" last in save_success, and "ignore:" alone. A row is written at these two moments only, so that it
# never holds the new values of a step beside the old states of its files.
_LAST_KEYS = frozenset({"deps:", "ignore:"})
_UPSERT = "INSERT INTO steps (name, data) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET data = excluded.data"


class State:
    """doit's backend (get, set, in_, remove, remove_all, dump). The file is opened when it is first needed.

    WAL with synchronous=NORMAL: a kill of the process loses nothing that was committed, a power cut may lose the last
    commits (their steps run again), and neither can break the file. WAL needs shared memory between the processes, so
    the file must not lie on a network disk that several machines use.
    """

    def __init__(self, name: str, codec: object = None, *, module_name: str | None = None) -> None:
        self.name = name
        self._connection: sqlite3.Connection | None = None
        self._texts: dict[str, str] = {}
        self._rows: dict[str, dict[str, Any]] = {}
        self._closed = False
        self._lock = threading.RLock()  # steps begin in threads of their own

    def _open(self) -> sqlite3.Connection:
        with self._lock:
            if self._connection is None:
                self._connection, self._texts = _opened(Path(self.name))
            return self._connection

    def row(self, name: str) -> dict[str, Any]:
        """All that is known of a step: the very dictionary, or an empty one."""
        if name not in self._rows:
            self._open()
            self._rows[name] = _decoded(self._texts.get(name))
        return self._rows[name]

    def rows(self) -> dict[str, dict[str, Any]]:
        """All rows, by the names of their steps."""
        self._open()
        return {name: self.row(name) for name in self._texts}

    def get(self, task_id: str, dependency: str) -> Any:
        return self.row(task_id).get(dependency)

    def in_(self, task_id: str) -> bool:
        return bool(self.row(task_id))

    def set(self, task_id: str, dependency: str, value: object) -> None:
        row = self.row(task_id)
        row[dependency] = value
        if dependency in _LAST_KEYS:
            known = _OWN_KEYS.union(row.get("deps:", ()))
            self._rows[task_id] = {key: row[key] for key in row if key in known}
            self._write(task_id, _encoded(self._rows[task_id]))

    def _write(self, name: str, text: str) -> None:
        with self._lock:
            if not self._closed and self._texts.get(name) != text:  # a run that did nothing writes nothing
                self._execute(_UPSERT, name, text)
                self._texts[name] = text

    def _execute(self, statement: str, *values: str) -> None:
        try:
            self._open().execute(statement, values)
        except sqlite3.Error as error:
            raise _trouble(Path(self.name), error) from error

    def spoil(self, name: str, why: str) -> None:
        """From now on, until it is saved anew, the step counts as never done; `why` is the reason that it will give."""
        self._write(name, _encoded({"_values_:": {"ended": why}}))

    def restore(self, name: str) -> bool:
        """Takes `spoil` back; False where there was no row that was saved."""
        row = self.row(name)
        if "deps:" in row:
            self._write(name, _encoded(row))
        return "deps:" in row

    def unload(self, name: str) -> None:
        """Forget what was read of the row, so that it is read again."""
        self._rows.pop(name, None)

    def rewrite(self, names: Iterable[str]) -> None:
        """Store rows whose stats were renewed in place, unless another process has written them meanwhile."""
        changed = [(_encoded(self.row(name)), name, self._texts.get(name)) for name in names]
        if not changed:
            return
        with contextlib.suppress(sqlite3.OperationalError), self._lock:  # only the next run's speed depends on it
            connection = self._open()
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("UPDATE steps SET data = ? WHERE name = ? AND data = ?", changed)
            connection.execute("COMMIT")

    def drop(self, gone: Callable[[str], bool]) -> None:
        """Remove the rows of the steps whose names are gone."""
        self._open()
        for name in [name for name in self._texts if gone(name)]:
            self.remove(name)

    def remove(self, task_id: str) -> None:
        with self._lock:
            self._execute("DELETE FROM steps WHERE name = ?", task_id)
            self._texts.pop(task_id, None)
            self._rows.pop(task_id, None)

    def remove_all(self) -> None:
        with self._lock:
            self._execute("DELETE FROM steps")
            self._texts.clear()
            self._rows.clear()

    def dump(self) -> None:
        """Close the file; every row is in it already."""
        with self._lock:
            self._closed = True
            if self._connection is not None:
                self._connection.close()
                self._connection = None


class Glimpse(State):
    """For whoever only looks: the rows as they are, or none where no file of this hsm is. The file is not touched."""

    def _open(self) -> sqlite3.Connection:
        with self._lock:
            if self._connection is None:
                self._connection, _ = _opened(Path(":memory:"))
                self._texts = _seen(Path(self.name))
            return self._connection


def _encoded(row: Mapping[str, Any]) -> str:
    return json.dumps(row, separators=(",", ":"))


def _decoded(text: str | None) -> dict[str, Any]:
    """An unreadable row is no row: its step runs."""
    try:
        row = _quickly_decoded(text or "{}")
    except ValueError:
        return {}
    return row if isinstance(row, dict) else {}


def _quickly_decoded(text: str) -> Any:
    """There are thousands. What msgspec will not read (half a surrogate, of a path that is not UTF-8) json will."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return json.loads(text)


def _opened(path: Path) -> tuple[sqlite3.Connection, dict[str, str]]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if str(path) != ":memory:":  # sqlite itself makes files that a group may only read, whatever the umask says
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o666))
        try:
            return _read(path)
        except sqlite3.DatabaseError as error:
            if not _foreign(error):
                raise
            _set_aside(path, error)
            return _read(path)
    except (sqlite3.Error, OSError) as error:
        raise _trouble(path, error) from error


def _trouble(path: Path, error: Exception) -> HsmError:
    hint = "is there space, may you write there, and is it a local disk?"
    return HsmError(f"{path}: cannot keep the state of the steps: {error}", hint)


def _read(path: Path) -> tuple[sqlite3.Connection, dict[str, str]]:
    """An open connection and all rows, in one query."""
    connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        version, tables = _kind(connection)
        if version == 0 and not tables:
            _create(connection)
        elif version != SCHEMA:
            raise sqlite3.DatabaseError("it was written by another version of hsm")
        connection.execute("PRAGMA synchronous = NORMAL")
        return connection, _rows(connection)
    except BaseException:
        connection.close()
        raise


def _seen(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)) as connection:
            return _rows(connection) if _kind(connection)[0] == SCHEMA else {}
    except sqlite3.DatabaseError as error:
        if _foreign(error):
            return {}
        raise _trouble(path, error) from error


def _kind(connection: sqlite3.Connection) -> tuple[int, int]:
    """The version of the file, and how many tables it has: one look, for another process may be making them now."""
    connection.execute("BEGIN")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    connection.execute("COMMIT")
    return version, tables


def _rows(connection: sqlite3.Connection) -> dict[str, str]:
    return dict(connection.execute("SELECT name, data FROM steps"))


def _create(connection: sqlite3.Connection) -> None:
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:  # two first runs at once: sqlite does not wait for the other one when the journal mode is switched
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            break
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("CREATE TABLE IF NOT EXISTS steps (name TEXT PRIMARY KEY, data TEXT NOT NULL) WITHOUT ROWID")
    connection.execute(f"PRAGMA user_version = {SCHEMA}")
    connection.execute("COMMIT")


def _foreign(error: sqlite3.DatabaseError) -> bool:
    """Whether the file is at fault, and not a lock, a full disk or a missing permission."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is None or code & 0xFF in (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _set_aside(path: Path, error: sqlite3.DatabaseError) -> None:
    aside = path.with_name(path.name + ".bad")
    with contextlib.suppress(FileNotFoundError):  # another process may have been quicker
        path.replace(aside)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    sys.stderr.write(f"warning: {path}: {error}; it was moved to {aside.name}, and all steps run anew\n")
