"""Switch words (`dev:`, `prod:`, `use:`, `unuse:`): which one is meant, and what it comes to in hsm.local.yaml."""

from __future__ import annotations

from collections.abc import Callable

from tests.model.edits import Switch
from tests.model.oracle import View
from tests.model.stack import DB, EXTRAS, QUEUE, State, Writer


def word_of(op: Switch, state: State, view: View, writer: Writer) -> tuple[str | None, Callable[[], object]]:
    """The word for the command line, and what it does to the state; None where there is nobody to name."""
    if op.word in ("dev", "prod"):
        slots = [slot for slot in writer.slots if writer.named(slot)]
        slots = [slot for slot in slots if op.word == "prod" or writer.can_dev(slot)]
        if not slots:
            return None, lambda: None
        slot = slots[op.slot % len(slots)]
        same = view.hsm["services"][f"s{slot}"]["mode"] == op.word
        number = 1 + (op.word == "prod")
        return f"{op.word}:s{slot}", lambda: None if same else state.services[slot].update(local_mode=number)
    groups = {"db": writer.options(DB), "queue": writer.options(QUEUE), "extras": writer.options(EXTRAS)}
    found = [(g, slot) for g, slots in groups.items() for slot in slots if op.word == "use" or g == "extras"]
    if not found:
        return None, lambda: None
    group, slot = found[op.slot % len(found)]
    selection, there = view.hsm["groups"][group]["selection"], groups[group]
    if (f"s{slot}" in selection) == (op.word == "use"):
        return f"{op.word}:s{slot}", lambda: None
    bits = sum(1 << i for i, one in enumerate(there) if (f"s{one}" in selection) != (one == slot))
    value = bits if group == "extras" else there.index(slot)
    return f"{op.word}:s{slot}", lambda: state.stack.update({f"{group}_local": value + 1})
