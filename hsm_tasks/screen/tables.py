"""What people see of `status` and `stacks`: the gathered values as text in columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

USES = ("MEMORY", "CPUS", "PIDS")


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows as aligned text, two spaces between columns, nothing after the last."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(lines)


def stacks(gathered: Mapping[str, Any]) -> str:
    """`*` marks the stack that commands are about when none is named."""
    rows = [("*" if row["chosen"] else " ", row["name"], row["folder"]) for row in gathered["stacks"]]
    return columns(rows) if rows else "no stacks"


def status(gathered: Mapping[str, Any]) -> str:
    """One screen: services, groups, and what is amiss with the engine."""
    head = f"stack {gathered['stack']} (project {gathered['project']})"
    measured = any(one.get("use") for row in gathered["services"] for one in row["containers"])
    stale = any(map(_stale, gathered["services"]))
    more = (*(USES if measured else ()), *(("STALE",) if stale else ()))
    rows: list[tuple[str, ...]] = [("SERVICE", "MODE", "FROM", "CONTAINERS", "PORTS", *more)]
    for row in gathered["services"]:
        rows.append((*_service(row), *(_uses(row) if measured else ()), *((_stale(row),) if stale else ())))
    parts = [head, "", columns(rows)]
    if gathered["groups"]:
        parts += ["", columns([("GROUP", "SELECTED", "OF", "ALIAS"), *(_group(row) for row in gathered["groups"])])]
    if gathered["strangers"]:
        parts += ["", f"containers of no service: {', '.join(gathered['strangers'])} (`hsm up` removes them)"]
    if stale or gathered["stale"]:
        parts += ["", _way_out(gathered)]
    if gathered["engine"]:
        parts += ["", f"the engine could not be asked: {gathered['engine']}"]
    return "\n".join(parts)


_STALE = {"clone": "checkout", "resolve": "pin", "render": "override", "build": "image", "up": "container"}


def _stale(row: Mapping[str, Any]) -> str:
    """What is not as hsm.yaml says; the first cause says it. A container that is not there is seen without it."""
    certain = [one for one in row["stale"] if one["state"] == "run" and one["reasons"] != ["not running"]]
    if not certain:
        return ""
    first = certain[0]
    return f"{_STALE[first['name'].partition(':')[0]]}: {first['reasons'][0] if first['reasons'] else 'stale'}"


def _way_out(gathered: Mapping[str, Any]) -> str:
    """One sentence on what makes it right."""
    steps = [one for row in (gathered, *gathered["services"]) for one in row["stale"]]
    heads = {one["name"].partition(":")[0] for one in steps}
    if not heads - {"up", "build"}:
        return "the override is what hsm.yaml says; `hsm up` makes the rest so (`hsm plan up` tells why)"
    return "the override is not what hsm.yaml says: `hsm sync` makes it so (`hsm plan` tells why)"


def plan(gathered: Mapping[str, Any]) -> str:
    """The steps that would or may run, with their reasons, and the diff of the override."""
    steps = gathered["steps"]
    stale = [step for step in steps if step["state"] != "fresh"]
    sure = sum(step["state"] == "run" for step in stale)
    head = f"{sure} of {len(steps)} steps would run"
    if len(stale) > sure:
        head += f", {len(stale) - sure} more may"
    rows = [(f"  {step['name']}", "may run" if step["state"] == "may run" else "", "; ".join(step["reasons"]))
            for step in stale]
    parts = [f"{head} (stack {gathered['stack']})", *([columns(rows)] if rows else [])]
    return "\n".join([*parts, *(["", gathered["diff"]] if gathered["diff"] else [])])


def moves(rows: Sequence[Mapping[str, Any]]) -> str:
    """What moves of hsm.lock, old → new; below a branch the commits that it brings."""
    moving = [row for row in rows if row["moves"]]
    heads = columns([(f"  {row['key']}", f"{_entry(row['old'])} → {_entry(row['new'], 'dropped')}{_count(row)}")
                     for row in moving])
    lines: list[str] = []
    for row, head in zip(moving, heads.splitlines(), strict=True):
        lines += [head, *_subjects(row.get("commits"))]
    return "\n".join(lines)


def _entry(one: Mapping[str, Any] | None, absent: str = "none") -> str:
    if one is None:
        return absent
    if "commit" in one:
        return str(one["commit"])[:10]
    version = one["version"] if one["version"] != one["tag"] else None
    said = ", ".join(word for word in (version, (one["created"] or "")[:10]) if word)
    return f"{one['tag'] or ''}@{(one['digest'] or 'none')[7:19]}{f' ({said})' if said else ''}"


def _count(row: Mapping[str, Any]) -> str:
    commits = row.get("commits")
    if not commits or commits["total"] is None:
        return ""
    return f", {commits['total']} commit{'' if commits['total'] == 1 else 's'}"


def _subjects(commits: Mapping[str, Any] | None) -> list[str]:
    if not commits:
        return []
    lines = [f"    {one['commit'][:10]}  {one['date']}  {one['subject']}" for one in commits["newest"]]
    if commits["total"] is None:
        return ["    the newest, for the old one was not found among them:", *lines]
    more = commits["total"] - len(lines)
    return [*lines, *([f"    and {more} more"] if more else [])]


def _service(row: Mapping[str, Any]) -> tuple[str, str, str, str, str]:
    containers = row["containers"]
    ports = ", ".join(dict.fromkeys(port for container in containers for port in container["ports"]))
    return row["name"], row["mode"], _from(row), _states(row), ports


def _uses(row: Mapping[str, Any]) -> Iterator[str]:
    """Used / limit, of each container."""
    uses = [one["use"] for one in row["containers"] if one["use"]]
    for name, shown in (("memory", _size), ("cpus", _number), ("pids", _number)):
        pairs = ((use[name]["used"], use[name]["limit"]) for use in uses)
        yield ", ".join(shown(used) + (f" / {shown(limit)}" if limit else "") for used, limit in pairs)


def _number(value: float | None) -> str:
    return "?" if value is None else f"{round(value, 2):g}"


def _size(value: int | None) -> str:
    if value is None:
        return "?"
    size = float(value)
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.4g}{unit}"
        size /= 1024
    return f"{size:.4g}GiB"


def _from(row: Mapping[str, Any]) -> str:
    checkout, image = row["checkout"], row["image"]
    if checkout:
        return f"{checkout['path']} {_git(checkout)}"
    if image is None:
        return "not selected" if row["mode"] == "off" else "its own build"
    reference = image["reference"].partition("@")[0]
    digest = f"@{image['digest'][7:19]}" if image["digest"] else " (not pinned)"
    return f"{reference}{digest}"


def _git(checkout: Mapping[str, Any]) -> str:
    if not checkout["there"]:
        return "(not cloned)"
    words = [f"{checkout['branch'] or 'detached'} {(checkout['commit'] or '')[:10]}", *_asked(checkout)]
    marks = (("changed", "changed"), ("untracked", "untracked"), ("ahead", "ahead"), ("behind", "behind"))
    words += [f"{checkout[key]} {word}" for key, word in marks if checkout[key]]
    return ", ".join([*words, *([checkout["operation"]] if checkout["operation"] else [])])


def _asked(checkout: Mapping[str, Any]) -> Iterator[str]:
    """A checkout is never switched to another branch; so nothing but this says that it stands on one. A person's own
    may stand where it likes."""
    branch, ref = checkout["branch"], checkout["ref"]
    if branch and not checkout["own"] and ref.removeprefix("refs/heads/") not in (branch, "HEAD"):
        yield f"hsm.yaml says {ref}"


def _states(row: Mapping[str, Any]) -> str:
    if not row["containers"]:
        if row["mode"] == "off":
            return ""
        return "-" if row["starts"] else f"- (profile {', '.join(row['profiles'])})"
    states = [_state(container) for container in row["containers"]]
    return states[0] if len(states) == 1 else f"{len(states)}: {', '.join(sorted(set(states)))}"


def _state(container: Mapping[str, Any]) -> str:
    if container["state"] == "exited":
        return f"exited {container['exit_code']}"
    return f"{container['state']} ({container['health']})" if container["health"] else str(container["state"])


def _group(row: Mapping[str, Any]) -> tuple[str, str, str, str]:
    return row["name"], ", ".join(row["selection"]) or "none", ", ".join(row["options"]), row["alias"] or ""
