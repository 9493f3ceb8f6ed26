"""What each step depends on, told from the contract's section 7 and the model, without a line of hsm's own code.

`inputs` gives a text for each step of a run; two runs of a step with the same text, and with its outputs as it left
them, must not both happen. The texts are made of what a person has written (as trees, so that formatting does not
count), and of the content of generated files that the step reads.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.model.stack import Tree, Written

STATE = ".hsm/shop"
SHOP = "stacks/shop"
LOCKS = (f"{SHOP}/hsm.lock", f"{STATE}/local.lock")


def outputs(step: str) -> tuple[str, ...]:
    """The files that a step leaves."""
    head, _, rest = step.partition(":")
    match head:
        case "clone":
            return (f"{STATE}/clones/{rest.replace(':', '@')}.json",)
        case "resolve":
            file = f"{rest.replace(':', '@')}.json"
            return f"{STATE}/pins/{file}", f"{STATE}/healthchecks/{file}"
        case "lock":
            return (*LOCKS, f"{STATE}/last.lock")
        case "render":
            return (f"{STATE}/fragments/{rest}.yml",)
        case "merge":
            return (f"{STATE}/override.yml",)
        case _:
            return (f"{SHOP}/docker-compose.hsm.yml",)


class View:
    """A moment: what is written, and what lies on disk. `locks` are the texts of LOCKS that count and `there` the
    checkouts: for a run, those that it found."""

    def __init__(
        self, root: Path, out: Written, grace: str, locks: Mapping[str, str], there: frozenset[str]
    ) -> None:
        self.root, self.out, self.grace, self.locks, self.there = root, out, grace, locks, there
        self.folders = {path.name for path in (root / out.repos).glob("*")}
        self.hsm, self.committed = _joined(out, out.local), _joined(out, {})

    @property
    def names(self) -> set[str]:
        """The services that there are."""
        return {*self.out.base, *self.hsm["services"]}

    @property
    def off(self) -> set[str]:
        """The options that are not selected."""
        return set(self._targets())

    def has(self, step: str) -> bool:
        """Whether the step is about something that is still there."""
        head, _, rest = step.partition(":")
        plain = rest.partition(":")[0]
        if head == "clone":
            return any(service.get("repo", {}).get("name") == plain for service in self.hsm["services"].values())
        return head not in ("resolve", "render") or plain in self.names

    def is_locked(self, step: str) -> bool:
        """Whether a clone or a resolve step needs to ask nobody."""
        head, _, rest = step.partition(":")
        plain, _, kind = rest.partition(":")
        if head == "clone":
            services = (self.hsm if not kind else self.committed)["services"].values()
            repo = next(service["repo"] for service in services if service.get("repo", {}).get("name") == plain)
            known = any(self._entry(text, f"{repo['url']} {repo['ref']}") for text in self.locks.values())
            return "path" in repo or (known and (bool(kind) or plain not in self.folders))
        *_, wants_config, entry = self._resolve(rest, ())
        return bool(entry) and (not wants_config or "healthcheck" in str(entry))

    def inputs(self, step: str, steps: Iterable[str]) -> str:
        """All that the step depends on, as text. `steps` are those of the same run."""
        head, _, rest = step.partition(":")
        made = {
            "clone": self._clone, "resolve": self._resolve, "lock": self._lock, "render": self._render,
            "merge": self._merge, "check": self._check,
        }[head](rest, tuple(steps))  # fmt: skip
        return "\n".join(map(repr, made))

    # --- steps -----------------------------------------------------------------------------------------------------

    def _clone(self, checkout: str, _: tuple[str, ...]) -> Iterator[object]:
        plain, _colon, kind = checkout.partition(":")
        for service in (self.hsm if not kind else self.committed)["services"].values():
            repo = service.get("repo")
            if repo and repo["name"] == plain:
                yield sorted(repo.items()), kind, self.out.repos
                yield [self._entry(text, f"{repo['url']} {repo['ref']}") for text in self.locks.values()]
                yield service["mode"], plain in self.there
                yield self._runs_from(plain)
                return

    def _runs_from(self, checkout: str) -> bool:
        """Whether a service of this machine does; else only the commit is asked for, because hsm.lock wants it."""
        from_sources = {name: keys for name, keys in self.hsm["services"].items() if keys.get("mode") == "dev"}
        return any((keys.get("repo") or {}).get("name") == checkout for name, keys in from_sources.items()
                   if name not in self.off)

    def _resolve(self, service: str, _: tuple[str, ...]) -> Iterator[object]:
        plain, _colon, kind = service.partition(":")
        here = not kind and plain not in self.off and self.hsm["services"].get(plain, {}).get("mode") != "dev"
        image, version = self._image(plain, self.hsm if here else self.committed)
        yield image, version  # and whether an option has that image: then more is asked about it, and told in hsm.lock
        for tree in (self.committed, self.hsm):
            yield (image, version) in [self._image(name, tree) for name in self._options(tree)]
        key = f"{image} {version}" if version else image
        entries = [self._entry(text, key) for text in self.locks.values()]
        yield next((entry for entry in entries if entry), None)

    def _lock(self, _: str, steps: tuple[str, ...]) -> Iterator[object]:
        """The pins and clone records of the run, and whatever the committed files say of images and repositories."""
        for step in sorted(steps):
            if step.startswith(("clone:", "resolve:")):
                yield step, [self._text(path) for path in outputs(step)]
        for tree in (self.committed, self.hsm):
            for name in sorted({*self.out.base, *tree["services"]}):
                service = tree["services"].get(name, {})
                yield name, self._image(name, tree), service.get("mode"), sorted(service.get("repo", {}).items())
            yield [(name, group["selection"]) for name, group in sorted(tree["groups"].items())]

    def _render(self, name: str, _: tuple[str, ...]) -> Iterator[object]:
        service = self.hsm["services"].get(name)
        off = name in self._targets()
        mode = "off" if off else (service or {}).get("mode", "base")
        yield mode
        if off:
            return
        yield _plain(self.out.base.get(name))
        yield _plain(_without_image((service or {}).get(mode)))
        if mode == "dev" and service and "repo" in service:
            yield sorted(service["repo"].items()), self.out.repos
            yield [(self.root / self.out.repos / service["repo"]["name"]).exists()]
        elif service and "repo" in service:
            yield sorted(service["repo"].items()), self.out.repos  # its binds are told from those of the base
        yield from self._around(name)
        yield self._text(f"{STATE}/pins/{name}.json")

    def _around(self, name: str) -> Iterator[object]:
        """What groups do to a service: its alias, its consumers' keys, whom its references mean, what is active."""
        targets = self._targets()
        for group in self.hsm["groups"].values():
            options = group.get("options", ())
            if name in options:
                yield group.get("alias")
            for option in group["selection"]:
                if isinstance(options, dict):
                    yield _plain(options[option].get("consumers", {}).get(name))
        named = repr(self.out.base.get(name)) + repr(self.hsm["services"].get(name)) + repr(list(targets))
        yield sorted((who, to) for who, to in targets.items() if who in named)
        single = [g for g in self.hsm["groups"].values() if g["strategy"] == "1-of-N"]
        yield [(g.get("alias"), g["selection"]) for g in single]
        for other in self._options(self.hsm):  # has it a healthcheck to wait for, in the image or in the base?
            mode = self.hsm["services"].get(other, {}).get("mode")
            below = self.out.base.get(other, {})
            yield mode, below.get("healthcheck"), "build" in below  # one that is built has no image to ask
            yield self._image_has_healthcheck(other)  # and not which image or digest it is
        yield [self.hsm["groups"].get(group, {}).get("selection") for group in ("extras", "tools")]

    def _merge(self, _: str, steps: tuple[str, ...]) -> Iterator[object]:
        renders = sorted(step for step in steps if step.startswith("render:"))
        yield [(step, self._text(outputs(step)[0])) for step in renders]
        yield self._project(), self._volumes()

    def _check(self, _: str, steps: tuple[str, ...]) -> Iterator[object]:
        yield self.judged()
        yield self.out.files.get(f"{SHOP}/.env"), sorted(self.out.environ.items())  # compose fills these in

    def judged(self) -> str:
        """What compose judges, as far as a person wrote it: if it is another, check must run, although its output is a
        copy that may come out the same."""
        base = (_plain(self.out.base), self.grace, self._volumes())
        return repr((self._text(f"{STATE}/override.yml"), base, self._project()))

    # --- what they are made of -------------------------------------------------------------------------------------

    def _project(self) -> str:
        return str(self.out.hsm.get("name", "shop"))

    def _volumes(self) -> list[str]:
        mounts = [volume for keys in self.out.base.values() for volume in keys.get("volumes", ())]
        return sorted(volume for volume in mounts if volume.startswith("data-"))

    def _text(self, path: str) -> str | None:
        file = self.root / path
        return file.read_text(errors="replace") if file.exists() else None

    def _image_has_healthcheck(self, option: str) -> object:
        text = self._text(f"{STATE}/pins/{option}.json")
        try:
            return text and bool(json.loads(text).get("healthcheck"))
        except ValueError:
            return text

    def _entry(self, text: str, key: str) -> object:
        try:
            found = _entries(text)
            return json.dumps(found.get(key), sort_keys=True) if key in found else None
        except (yaml.YAMLError, AttributeError):
            return text

    def _image(self, name: str, tree: Tree) -> tuple[str, str | None]:
        """The reference that prod means, its variables put in; and the range."""
        prod = tree["services"].get(name, {}).get("prod", {})
        image = str(prod.get("image") or self.out.base.get(name, {}).get("image", ""))
        env = self.out.files.get(f"{SHOP}/.env", "")
        values = dict(line.split("=", 1) for line in env.splitlines()) | self.out.environ
        for variable, default in (("TAG", "1.0.0"), ("TAG", "1.1.0"), ("TAG", "1.2.0"), ("TAG_OF_FILE", "1.1.0")):
            image = image.replace(f"${{{variable}:-{default}}}", values.get(variable, default))
        return image, prod.get("version")

    def _options(self, tree: Tree) -> list[str]:
        return sorted(option for group in tree["groups"].values() for option in group.get("options", ()))

    def _targets(self) -> dict[str, object]:
        """Options that are off → who answers for them; aliases likewise."""
        found: dict[str, object] = {}
        for group in self.hsm["groups"].values():
            single = group["strategy"] == "1-of-N"
            chosen = group["selection"][0] if single else None
            found |= {name: chosen for name in group.get("options", ()) if name not in group["selection"]}
        return found


@functools.lru_cache(maxsize=64)
def _entries(text: str) -> Tree:
    """The entries of a lock, of all its sections."""
    tree = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)) or {}
    return {**(tree.get("images") or {}), **(tree.get("repositories") or {})}


def _joined(out: Written, local: Tree) -> Tree:
    """hsm.yaml with what every service inherits, and hsm.local.yaml over it (or nothing)."""
    services = {}
    for name, keys in out.hsm.get("services", {}).items():
        over = local.get("services", {}).get(name, {})
        own = {**keys, "mode": over.get("mode") or keys.get("mode") or local.get("mode") or out.hsm.get("mode", "prod")}
        for section in ("dev", "prod"):
            inherited = {"defaults": out.hsm.get("defaults", {}).get(section), "shared": out.shared}
            own[section] = {**keys.get(section, {}), **over.get(section, {}), **inherited, "under": keys.get(section)}
        if "image" in over.get("prod", {}) and ":" in over["prod"]["image"].rpartition("/")[2]:
            own["prod"].pop("version", None)
        if "repo" in over:
            own["repo"] = {**keys["repo"], **over["repo"]}
        services[name] = own
    groups = {}
    for name, group in out.hsm.get("groups", {}).items():
        chosen = local.get("groups", {}).get(name, group).get("selection")
        groups[name] = {**group, "selection": [chosen] if isinstance(chosen, str) else list(chosen)}
    return {"services": services, "groups": groups}


def _without_image(section: Tree | None) -> Tree | None:
    """What prod says of the image reaches a fragment through the pin alone."""
    if section is None:
        return None
    under = section.get("under") or {}
    kept = {key: value for key, value in section.items() if key not in ("image", "version")}
    return {**kept, "under": {key: value for key, value in under.items() if key not in ("image", "version")}}


def _plain(tree: Any) -> str:
    return json.dumps(tree, sort_keys=True)
