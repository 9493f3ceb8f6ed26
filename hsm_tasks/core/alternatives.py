"""Which services of a base look like alternatives of one role, for `hsm init`: a guess by the names of their images."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from hsm_tasks.core.forms import as_map, soft
from hsm_tasks.core.model import Base, Frozen, Keys
from hsm_tasks.core.yamltext import flow

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
# a value that is a bare name is a host only where the variable says so: it may as well be a user
_HOST_KEY: Final = re.compile(r"(?i).*(?:host(?:name)?s?|server|addr(?:ess)?|endpoint)\Z")


class Alternatives(Frozen, frozen=True, kw_only=True):
    """`usual` is the one that the base uses as it stands."""

    role: str
    services: tuple[str, ...]
    usual: str


def alternatives(base: Base, ready: Sequence[str]) -> Iterator[Alternatives]:
    """Where the images of several services of `ready` can play one role, and the others need at most one of them."""
    needed = {name for keys in base.services.values() for name in soft(keys)}
    for role in _ROLES:
        kinds = {name: kind for name in ready if _KIND.get(kind := _kind(base.services[name])) == role}
        if len(set(kinds.values())) > 1 and len(kinds.keys() & needed) < 2:
            usual = min(kinds, key=lambda name: (name not in needed, bool(base.services[name].get("profiles")), name))
            yield Alternatives(role=role, services=tuple(kinds), usual=usual)


def suggestion(one: Alternatives, base: Base) -> Iterator[str]:
    """The lines of the group, as they stand below `groups:`."""
    alias = _free(base.services, *_ROLES[one.role][0], f"any-{one.role}")
    consumers = dict(_consumers(one, alias, base))
    yield from (f"  {one.role}:", "    strategy: 1-of-N", f"    alias: {alias}")
    if consumers:
        yield "    options:"
        for name in one.services:
            yield from (f"      {flow(name)}:", "        consumers:")
            yield from (f"          {flow(other)}: {flow({'environment': env})}" for other, env in consumers.items())
    else:
        yield f"    options: {flow(list(one.services))}"
    yield f"    selection: {flow(one.usual)}"


def image_of(keys: Keys) -> str:
    """Its image as written; "" where it has none."""
    image = keys.get("image")
    return image if isinstance(image, str) else ""


def _consumers(one: Alternatives, alias: str, base: Base) -> Iterator[tuple[str, dict[str, str]]]:
    """service → its variables that name the usual one as a host, with the alias in its place."""
    # `postgres://postgres:x@postgres:5432/postgres` names a scheme, a user, a host and a database
    host = re.compile(rf"(\A|//|@|,){re.escape(one.usual)}(?!://)(?=[:/,]|\Z)(?![^/,]*@)")
    for name, keys in base.services.items():
        given = {key: value for key, value in as_map(keys.get("environment")).items() if isinstance(value, str)}
        found = {key: host.sub(rf"\g<1>{alias}", value) for key, value in given.items()
                 if value != one.usual or _HOST_KEY.fullmatch(key)}  # fmt: skip
        changed = {key: value for key, value in found.items() if value != given[key]}
        if changed and name not in one.services:
            yield name, changed


def _kind(keys: Keys) -> str:
    """The last part of an image's name, without tag and digest."""
    name = image_of(keys).partition("@")[0]
    last = re.sub(r"\$\{[^}]*\}", "", name).rpartition("/")[2].partition(":")[0]
    return "mssql" if "mssql/server" in name else last


def _free(taken: Mapping[str, Any], *names: str) -> str:
    """The first name that no service has."""
    return next((name for name in names if name not in taken), names[-1])
