"""What `hsm init` proposes: the base to the text of a first hsm.yaml, and of an hsm.local.yaml where one is needed.

The proposal changes as little as it can, so that it syncs at once: who is built goes on being built, who has an image
keeps it, profiles stay off. What is only a guess stands there as a comment.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from hsm_tasks.core import giturl
from hsm_tasks.core.alternatives import Alternatives, alternatives, image_of, suggestion
from hsm_tasks.core.forms import texts
from hsm_tasks.core.model import Base, Frozen, Keys
from hsm_tasks.core.yamltext import flow

_GIT: Final = re.compile(r"(?:git@|git://|ssh://|https?://[^#]*\.git(?:#|$)|github\.com/)")
_PUBLIC: Final = ("docker.io", "quay.io", "gcr.io", "mcr.microsoft.com", "registry.k8s.io", "public.ecr.aws")
_SHOWN: Final = 8  # names in a comment
_WIDTH: Final = 118


class Found(Frozen, frozen=True, kw_only=True):
    """The repository that a build context lies in, where that is another one than that of hsm.yaml.

    `checkout` is where it lies now, relative to the folder of hsm.yaml (None: nowhere yet); `inside` the context
    relative to the checkout. `ref` "" is the remote's default branch.
    """

    url: str
    ref: str = ""
    checkout: str | None = None
    inside: str = "."


class Facts(Frozen, frozen=True, kw_only=True):
    """What only the disk knows. `compose`: what hsm.yaml must name, () where compose itself finds it. `made_from`: the
    files, for people. `repositories` by service. `present`: the host paths of binds that exist, as the base has them.
    """

    schema: str
    made_from: Sequence[str]
    compose: Sequence[str] = ()
    repositories: Mapping[str, Found] = {}
    present: frozenset[str] = frozenset()


class Proposal(Frozen, frozen=True, kw_only=True):
    """`config` is hsm.yaml, `local` hsm.local.yaml ("" where it is not needed). `built` and `ready` are services."""

    config: str
    local: str
    built: tuple[str, ...]
    ready: tuple[str, ...]
    profiles: tuple[str, ...]
    alternatives: tuple[tuple[str, ...], ...]


def propose(base: Base, facts: Facts) -> Proposal:
    """The same base and facts make the same text."""
    sources = {name: _Sources(name, base, facts) for name in sorted(_makers(base))}
    profiles = tuple(sorted({name for keys in base.services.values() for name in texts(keys.get("profiles"))}))
    ready = tuple(sorted(set(base.services) - set(sources)))
    suggested = tuple(alternatives(base, ready))
    lines = [
        f"# yaml-language-server: $schema={facts.schema}",
        f"# What this stack is. `hsm init` made it of {', '.join(facts.made_from)}. It is yours now: commit it.",
        "# What is mine alone (hsm dev:api, hsm use:mysql) goes into hsm.local.yaml, which git does not see.",
        *_compose(facts),
        *_services(sources, ready, base),
        *_groups(profiles, suggested, base),
    ]
    return Proposal(
        config="\n".join(lines) + "\n",
        local=_local(sources),
        built=tuple(sources),
        ready=ready,
        profiles=profiles,
        alternatives=tuple(one.services for one in suggested),
    )


def remote(context: str) -> Found | None:
    """The repository that a build context names by its url (`URL#REF:FOLDER`), as compose understands it."""
    if not _GIT.match(context) or "$" in context:
        return None
    url, _, fragment = context.partition("#")
    ref, _, folder = fragment.partition(":")
    url = f"https://{url}" if url.startswith("github.com/") else url
    if giturl.check_url(url) or (ref and giturl.check_ref(ref)):
        return None
    return Found(url=url, ref=ref, inside=posixpath.normpath(folder.lstrip("/") or "."))


def _makers(base: Base) -> dict[str, str]:
    """service → the service whose build makes its image: itself, or one that gives the image that name."""
    built = {name for name, keys in base.services.items() if keys.get("build") is not None}
    makers = {str(base.services[name]["image"]): name for name in sorted(built) if "image" in base.services[name]}
    shared = {name: makers[image] for name, keys in base.services.items() if (image := image_of(keys)) in makers}
    return {**shared, **{name: name for name in built}}


def build_of(keys: Keys) -> dict[str, Any]:
    """The build section in its long form."""
    build = keys.get("build")
    return dict(build) if isinstance(build, Mapping) else {"context": str(build)} if build is not None else {}


# --- services ---------------------------------------------------------------------------------------------------


class _Sources:
    """One service that is built: what hsm.yaml has to say of it."""

    def __init__(self, name: str, base: Base, facts: Facts) -> None:
        self.keys, self.base, self.facts = base.services[name], base, facts
        maker = _makers(base)[name]
        self.borrowed = maker if maker != name else None
        self.build = build_of(base.services[maker])
        found = facts.repositories.get(maker)
        self.repository = found if found and self._movable(found) else None

    def _movable(self, found: Found) -> bool:
        """Whether the build can be said relative to the checkout."""
        dockerfile = posixpath.normpath(posixpath.join(found.inside, str(self.build.get("dockerfile", "Dockerfile"))))
        return "additional_contexts" not in self.build and not dockerfile.startswith(("../", "/", ".$"))

    def lines(self, name: str) -> Iterator[str]:
        why = f"built from {self.build.get('context', '.')}"
        if self.borrowed:
            why = f"runs the image that {self.borrowed} is built as"
        yield f"  {flow(name)}:"
        yield f"    {'mode: dev':<34}# {why}"
        build = self.build if self.borrowed else {}
        if self.repository:
            yield f"    repo: {flow(self._repo(self.repository))}"
            build = {**self.build, "context": self.repository.inside}
        volumes = list(self._volumes())
        if (build and build != {"context": "."}) or volumes:
            yield "    dev:"
        if build and build != {"context": "."}:
            yield f"      build: {flow(build)}"
        if volumes:
            yield f"      volumes: {flow(volumes)}"

    def _repo(self, found: Found) -> dict[str, str]:
        repo = {"url": found.url, **({"ref": found.ref} if found.ref else {})}
        taken = {other.url for other in self.facts.repositories.values()
                 if giturl.default_name(other.url) == giturl.default_name(found.url)}
        return repo if len(taken) == 1 else {**repo, "name": self._own_name(found)}

    def _own_name(self, found: Found) -> str:
        """For one of several repositories whose urls end alike: the last two parts of the url."""
        parts = [part for part in re.split(r"[/:]", found.url.rstrip("/").removesuffix(".git")) if part]
        return re.sub(r"[^A-Za-z0-9._+-]", "-", "-".join(parts[-2:])).lstrip(".-+") or "sources"

    def _volumes(self) -> Iterator[str]:
        """The base's binds out of the checkout, relative to it: whoever has no checkout there yet mounts his own."""
        volumes = self.keys.get("volumes")
        for volume in volumes if isinstance(volumes, list) else ():
            if not isinstance(volume, Mapping) or volume.get("type") != "bind" or self.repository is None:
                continue
            source, target = str(volume.get("source")), str(volume.get("target"))
            below = self._below(source)
            if below is not None and source in self.facts.present and ":" not in below + target:
                yield f"{below}:{target}" + (":ro" if volume.get("read_only") else "")

    def _below(self, source: str) -> str | None:
        assert self.repository is not None
        if self.repository.checkout is None or source.startswith(("/", "~", "$")):
            return None
        path, checkout = posixpath.normpath(posixpath.join(self.base.root, source)), self.repository.checkout
        if path == checkout:
            return "."
        return f"./{path.removeprefix(checkout)[1:]}" if path.startswith(f"{checkout}/") else None


def _compose(facts: Facts) -> Iterator[str]:
    if facts.compose:
        named = facts.compose[0] if len(facts.compose) == 1 else list(facts.compose)
        yield from ("", f"compose: {flow(named)}")


def _services(sources: Mapping[str, _Sources], ready: Sequence[str], base: Base) -> Iterator[str]:
    if sources:
        name = next(iter(sources))
        yield ""
        yield f"# Built from sources: mode dev. Give one an image, as below, and `hsm prod:{name}` runs that instead."
        yield "services:"
        for number, (name, service) in enumerate(sources.items()):
            yield from service.lines(name)
            if number == 0:
                yield f'    # prod: {{image: "registry.example/{name}", version: "^1.0"}}'
    if ready:
        yield ""
        yield from _ready(ready, base, alone=not sources)


def _ready(ready: Sequence[str], base: Base, *, alone: bool) -> Iterator[str]:
    own = next((name for name in ready if _is_own(image_of(base.services[name]))), "NAME")
    others = "services" if alone else f"{len(ready)} other {'service' if len(ready) == 1 else 'services'}"
    yield from _comment(
        f"The {others} ({_listed(ready)}) run from their images; hsm.lock pins the digests, and `hsm update` moves "
        f"them. To work on one from its sources, say where they are, and `hsm dev:{own}` runs it from there:"
    )
    if alone:
        yield "# services:"
    yield f'#   {flow(own)}: {{repo: {{url: "https://git.example/acme/{own}.git", ref: main}}}}'


def _is_own(image: str) -> bool:
    """Whether it looks like an image of the people whose project this is: of a registry that is not for everybody."""
    host = image.partition("/")[0]
    return "/" in image and ("." in host or ":" in host) and host not in _PUBLIC


def _local(sources: Mapping[str, _Sources]) -> str:
    own = {name: service.repository.checkout for name, service in sources.items()
           if service.repository and service.repository.checkout is not None}
    if not own:
        return ""
    return "\n".join([
        "# Mine alone. These checkouts were there before hsm: it builds from them, and never moves them.",
        "# Without an entry here, hsm clones into its own folder.",
        "services:",
        *(f"  {flow(name)}: {{repo: {{path: {flow(path)}}}}}" for name, path in own.items()),
    ]) + "\n"


# --- groups -----------------------------------------------------------------------------------------------------


def _groups(profiles: Sequence[str], suggested: Sequence[Alternatives], base: Base) -> Iterator[str]:
    if profiles:
        yield ""
        yield "# Profiles of the base, all off as before: `hsm use:NAME` switches one on, for me alone."
        yield from ("groups:", "  profiles:", "    strategy: M-of-N")
        yield from (f"    profiles: {flow(list(profiles))}", "    selection: []")
    if suggested:
        yield from ("", *_why(suggested, profiles), *([] if profiles else ["# groups:"]))
    for one in suggested:
        yield from (f"# {line}" for line in suggestion(one, base))


def _why(suggested: Sequence[Alternatives], profiles: Sequence[str]) -> Iterator[str]:
    names = "; ".join(_listed(one.services) for one in suggested)
    twice = [name for one in suggested for name in one.services if name in profiles]
    out = f", take {_listed(twice)} out of the profiles above (an option is in one group)" if twice else ""
    yield from _comment(
        f"These look like alternatives: {names}. As a group, one of them runs and answers to the alias for all that "
        f"need it; `hsm use:NAME` switches. If they are alternatives, take out each `# ` below{out}, and look at the "
        "consumers: what they need to know of the one that is chosen."
    )


# --- text -------------------------------------------------------------------------------------------------------


def _comment(text: str) -> Iterator[str]:
    """The sentences as comment lines of a bearable length."""
    line = "#"
    for word in text.split(" "):
        if len(line) + len(word) >= _WIDTH:
            yield line
            line = "#"
        line += f" {word}"
    yield line


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
