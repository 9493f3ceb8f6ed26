"""What `hsm init` proposes: the base to the text of a first hsm.yaml, and of an hsm.local.yaml where one is needed.

The proposal changes as little as it can, so that it syncs at once: who is built goes on being built, who has an image
keeps it, profiles stay off. What is only a guess stands there as a comment.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from hsm_tasks.core import giturl
from hsm_tasks.core.forms import soft, texts
from hsm_tasks.core.model import Base, Frozen, Keys
from hsm_tasks.core.yamltext import plain

# role → the names that the group may answer to, and the images (the last part of their names) that can play it
_ROLES: Final[dict[str, tuple[tuple[str, ...], str]]] = {
    "database": (
        ("db", "database", "sql"),
        "postgres postgresql postgis timescaledb timescaledb-ha pgvector mysql mysql-server mariadb percona "
        "percona-server cockroach mssql azure-sql-edge",
    ),
    "cache": (("cache", "kv"), "redis valkey keydb dragonfly memcached redis-stack redis-stack-server"),
    "broker": (("broker", "mq", "queue"), "rabbitmq kafka redpanda nats activemq activemq-classic pulsar cp-kafka"),
    "search": (("search", "index"), "elasticsearch opensearch solr meilisearch typesense"),
    "documents": (("documents", "docdb"), "mongo mongodb couchdb couchbase ferretdb"),
    "mail": (("mail", "smtp"), "mailhog mailpit maildev mailcatcher inbucket"),
    "storage": (("storage", "s3"), "minio localstack seaweedfs garage"),
    "proxy": (("proxy", "edge"), "nginx traefik caddy haproxy envoy httpd"),
}
_KIND: Final = {image: role for role, (_, images) in _ROLES.items() for image in images.split()}
_GIT: Final = re.compile(r"(?:git@|git://|ssh://|https?://[^#]*\.git(?:#|$)|github\.com/)")
_SHOWN: Final = 8  # names in a comment


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
    suggested = list(_alternatives(base, ready))
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
        alternatives=tuple(names for _, names in suggested),
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
    shared = {name: makers[image] for name, keys in base.services.items() if (image := _image(keys)) in makers}
    return {**shared, **{name: name for name in built}}


def _image(keys: Keys) -> str:
    image = keys.get("image")
    return image if isinstance(image, str) else ""


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
        yield f"  {_flow(name)}:"
        yield f"    {'mode: dev':<34}# {why}"
        build = self.build if self.borrowed else {}
        if self.repository:
            yield f"    repo: {_flow(self._repo(self.repository))}"
            build = {**self.build, "context": self.repository.inside}
        volumes = list(self._volumes())
        if (build and build != {"context": "."}) or volumes:
            yield "    dev:"
        if build and build != {"context": "."}:
            yield f"      build: {_flow(build)}"
        if volumes:
            yield f"      volumes: {_flow(volumes)}"

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
        yield from ("", f"compose: {_flow(named)}")


def _services(sources: Mapping[str, _Sources], ready: Sequence[str], base: Base) -> Iterator[str]:
    if sources:
        name = next(iter(sources))
        yield ""
        yield f"# Built from sources: mode dev. Give one an image, and `hsm prod:{name}` runs that instead:"
        yield f'#   {_flow(name)}: {{prod: {{image: "registry.example/{name}", version: "^1.0"}}}}'
        yield "services:"
        for name, service in sources.items():
            yield from service.lines(name)
    if ready:
        yield ""
        others = f"{len(ready)} other {'service' if len(ready) == 1 else 'services'}" if sources else "services"
        yield f"# The {others} ({_listed(ready)}) run from their images; hsm.lock pins the digests,"
        own = next((name for name in ready if _kind(base.services[name]) not in _KIND), None)
        if own is None:
            yield "# and `hsm update` moves them."
            return
        yield "# and `hsm update` moves them. To work on one from its sources, say where they are:"
        if not sources:
            yield "# services:"
        yield f'#   {_flow(own)}: {{repo: {{url: "https://git.example/acme/{own}.git", ref: main}}}}'


def _local(sources: Mapping[str, _Sources]) -> str:
    own = {name: service.repository.checkout for name, service in sources.items()
           if service.repository and service.repository.checkout is not None}
    if not own:
        return ""
    return "\n".join([
        "# Mine alone. These checkouts were there before hsm: it builds from them, and never moves them.",
        "# Without an entry here, hsm clones into its own folder.",
        "services:",
        *(f"  {_flow(name)}: {{repo: {{path: {_flow(path)}}}}}" for name, path in own.items()),
    ]) + "\n"


# --- groups -----------------------------------------------------------------------------------------------------


def _alternatives(base: Base, ready: Sequence[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """(role, services) where the images of several services can play one role, and nobody needs two of them."""
    for role in _ROLES:
        kinds = {name: kind for name in ready if _KIND.get(kind := _kind(base.services[name])) == role}
        needed = [kinds.keys() & set(soft(keys)) for keys in base.services.values()]
        if len(set(kinds.values())) > 1 and all(len(names) < 2 for names in needed):
            yield role, tuple(kinds)


def _kind(keys: Keys) -> str:
    """The last part of an image's name, without tag and digest."""
    name = _image(keys).partition("@")[0]
    last = re.sub(r"\$\{[^}]*\}", "", name).rpartition("/")[2].partition(":")[0]
    return "mssql" if "mssql/server" in name else last


def _groups(profiles: Sequence[str], suggested: Sequence[tuple[str, Sequence[str]]], base: Base) -> Iterator[str]:
    if suggested and not profiles:
        yield from ("", *_why(suggested), "# groups:")
    for role, names in suggested if not profiles else ():
        yield from _suggestion(role, names, base)
    if profiles:
        yield ""
        yield "# Profiles of the base, all off as before: `hsm use:NAME` switches one on, for me alone."
        yield from ("groups:", "  profiles:", "    strategy: M-of-N")
        yield from (f"    profiles: {_flow(list(profiles))}", "    selection: []")
        yield from _why(suggested) if suggested else ()
        for role, names in suggested:
            yield from _suggestion(role, names, base)


def _why(suggested: Sequence[tuple[str, Sequence[str]]]) -> Iterator[str]:
    names = "; ".join(_listed(names) for _, names in suggested)
    yield f"# These look like alternatives: {names}. As a group, one of them runs and answers to the alias for all"
    yield "# that need it; `hsm use:NAME` switches. If they are alternatives, take out the `#`, and choose:"


def _suggestion(role: str, names: Sequence[str], base: Base) -> Iterator[str]:
    needed = {name for keys in base.services.values() for name in soft(keys)}
    usual = min(names, key=lambda name: (name not in needed, bool(base.services[name].get("profiles")), name))
    yield f"#   {role}:"
    yield "#     strategy: 1-of-N"
    yield f"#     alias: {_free(base.services, *_ROLES[role][0], f'any-{role}')}"
    yield f"#     options: {_flow(list(names))}"
    yield f"#     selection: {_flow(usual)}"


def _free(taken: Mapping[str, object], *names: str) -> str:
    """The first name that no service has."""
    return next((name for name in names if name not in taken), names[-1])


# --- text -------------------------------------------------------------------------------------------------------


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _flow(tree: Any) -> str:
    """A value on one line, as people write it: quotes only where they are needed."""
    match tree:
        case Mapping():
            return "{" + ", ".join(f"{_flow(str(key))}: {_flow(value)}" for key, value in tree.items()) + "}"
        case list():
            return f"[{', '.join(map(_flow, tree))}]"
        case str():
            return tree if plain(tree) or tree == "." else json.dumps(tree, ensure_ascii=False)
        case _:
            return json.dumps(tree)
