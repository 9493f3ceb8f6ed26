"""What may stand in hsm.yaml and in hsm.local.yaml: the names and the kinds of values, nothing about their meaning.

Everything is optional here, because an included file may hold any part; what must be there in the end is checked in
`check`. msgspec converts by these structs, and its JSON schema of them finds all the mistakes when that fails.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias

import msgspec

from hsm_tasks.core.model import Mode, Strategy

# The keys of a service in compose-spec.json beside this file; a test compares the two.
COMPOSE_SERVICE_KEYS: Final = frozenset(
    """
    annotations attach blkio_config build cap_add cap_drop cgroup cgroup_parent command configs container_name
    cpu_count cpu_percent cpu_period cpu_quota cpu_rt_period cpu_rt_runtime cpu_shares cpus cpuset credential_spec
    depends_on deploy develop device_cgroup_rules devices dns dns_opt dns_search domainname entrypoint env_file
    environment expose extends external_links extra_hosts gpus group_add healthcheck hostname image init ipc isolation
    label_file labels links logging mac_address mem_limit mem_reservation mem_swappiness memswap_limit models
    network_mode networks oom_kill_disable oom_score_adj pid pids_limit platform ports post_start pre_start pre_stop
    privileged profiles provider pull_policy pull_refresh_after read_only restart runtime scale secrets security_opt
    shm_size stdin_open stop_grace_period stop_signal storage_opt sysctls tmpfs tty ulimits umask use_api_socket user
    userns_mode uts volumes volumes_from working_dir
    """.split()  # noqa: SIM905 - ninety quoted words are harder to read
)


def _key(description: str, *examples: Any) -> msgspec.Meta:
    """What editors show of a key, and what the reference is made of."""
    return msgspec.Meta(description=description, examples=list(examples))


class Raw(msgspec.Struct, forbid_unknown_fields=True):
    """The base of all structs here; None is a key without a value, which says nothing."""


class RawRepository(Raw):
    url: Annotated[str | None, _key(
        "Where git clones from: https, ssh, git, http, or a path relative to this file. No password in it.",
        "https://git.example/acme/api.git",
        "git@git.example:acme/api.git",
        "../api",
    )] = None
    ref: Annotated[str | None, _key(
        "A branch, a tag or a commit. Default: the default branch of the remote.", "main", "v1.4.0"
    )] = None
    name: Annotated[str | None, _key(
        "The folder below repos/ that the checkout gets. Default: the last part of the url.", "api"
    )] = None
    submodules: Annotated[bool | None, _key("Whether to clone the submodules as well. Default: false.", True)] = None


class RawLimits(Raw):
    memory: Annotated[str | None, _key("How much memory a container may use.", "256M", "1.5G")] = None
    cpus: Annotated[str | None, _key("How many processors a container may use.", "0.50")] = None
    pids: Annotated[str | None, _key("How many processes a container may have; -1 for no limit.", 200)] = None


class DevKeys(Raw):
    """The keys of dev that hsm reads itself."""

    build: Annotated[str | dict[str, Any] | None, _key(
        "How the image is built from the checkout; paths are relative to it. Default with a repo: {context: .}.",
        {"context": ".", "target": "dev"},
        ".",
    )] = None
    volumes: Annotated[list[str | dict[str, Any]] | None, _key(
        "Mounts of sources; the host side is relative to the checkout and must be there.", ["./src:/app/src"]
    )] = None
    watch: Annotated[list[dict[str, Any]] | None, _key(
        "Rules of compose's develop.watch; paths are relative to the checkout.",
        [{"action": "rebuild", "path": "package.json"}],
    )] = None
    rebuild: Annotated[list[str] | None, _key(
        "The files that a build depends on, instead of all that it can see; relative to the checkout.",
        ["Dockerfile", "package.json"],
    )] = None


class ProdKeys(Raw):
    """The keys of prod that hsm reads itself."""

    image: Annotated[str | None, _key(
        "The image to run, pinned by digest in hsm.lock. Default: the image of the base.",
        "registry.example/acme/api",
        "registry.example/acme/api:1.4.2",
    )] = None
    version: Annotated[str | None, _key(
        "A range over the tags of the image: the newest match runs. Not beside a tag in image.",
        "^1.4",
        "~16.2",
        ">=1.2,<2",
        "16-alpine",
    )] = None
    limits: Annotated[RawLimits | None, _key(
        "What a container may use.", {"memory": "256M", "cpus": "0.50", "pids": 200}
    )] = None
    replicas: Annotated[str | None, _key("How many containers run.", 2)] = None


class _Keys(Raw):
    pass


if TYPE_CHECKING:
    RawDev: TypeAlias = DevKeys
    RawProd: TypeAlias = ProdKeys
    RawKeys: TypeAlias = _Keys
else:

    def _with_compose_keys(name: str, own: type[Raw], without: frozenset[str] = frozenset()) -> type[Raw]:
        """The struct `own` with compose's keys of a service added, of any type: `scalars` knows their types."""
        added = sorted(COMPOSE_SERVICE_KEYS - set(own.__struct_fields__) - without)
        return msgspec.defstruct(name, [(key, Any, None) for key in added], bases=(own,), forbid_unknown_fields=True)

    RawDev = _with_compose_keys("Dev", DevKeys, frozenset({"image"}))
    RawProd = _with_compose_keys("Prod", ProdKeys, frozenset({"build", "develop"}))
    RawKeys = _with_compose_keys("Keys", _Keys)


class RawDefaults(Raw):
    dev: Annotated[RawDev | None, _key(
        "Keys for every service that hsm.yaml names, while it is dev.", {"environment": {"DEBUG": "1"}}
    )] = None
    prod: Annotated[RawProd | None, _key(
        "Keys for every service that hsm.yaml names, while it is prod.", {"limits": {"memory": "512M"}}
    )] = None


class RawService(Raw):
    mode: Annotated[Mode | None, _key(
        "dev: built from sources. prod: a ready image, pinned by digest. Default: the mode at the top, else prod.",
        "dev",
    )] = None
    repo: Annotated[RawRepository | None, _key(
        "The repository of the sources. A dev service without one keeps the build of the base.",
        {"url": "https://git.example/acme/api.git", "ref": "main"},
    )] = None
    dev: Annotated[RawDev | None, _key(
        "How it runs from sources: the keys below, and any key of a compose service.",
        {"volumes": ["./src:/app/src"], "environment": {"DEBUG": "1"}},
    )] = None
    prod: Annotated[RawProd | None, _key(
        "How it runs from an image: the keys below, and any key of a compose service.",
        {"image": "registry.example/acme/api", "version": "^1.4"},
    )] = None
    oneshot: Annotated[bool | None, _key(
        "Whether it is to end: its exit 0 is right then. Default: whether another waits for its completion.", True
    )] = None


class RawOption(Raw):
    consumers: Annotated[dict[str, RawKeys | None] | None, _key(
        "What other services need to know while this option is selected: service to compose keys.",
        {"api": {"environment": {"DATABASE_URL": "postgres://db/shop"}}},
    )] = None


class RawGroup(Raw):
    strategy: Annotated[Strategy | None, _key("1-of-N: exactly one option runs. M-of-N: any number.", "1-of-N")] = None
    alias: Annotated[str | None, _key(
        "The name that the chosen option answers to on every network it joins (1-of-N).", "db"
    )] = None
    options: Annotated[list[str] | dict[str, RawOption | None] | None, _key(
        "Services: a list, or a mapping to what consumers need to know.", ["postgres", "mysql"]
    )] = None
    profiles: Annotated[list[str] | None, _key(
        "Options that are profiles of the base, instead of services.", ["debug", "tools"]
    )] = None
    selection: Annotated[str | list[str] | None, _key(
        "What is selected: one option, or a list of them.", "postgres", ["grafana"]
    )] = None


class RawBundle(Raw):
    allow: Annotated[list[str] | None, _key(
        "Absolute paths that are there on every host, so that a bundle may mount them and what is below them.",
        ["/var/log", "/etc/timezone"],
    )] = None


class StackFile(Raw):
    """hsm.yaml, or a file that it includes."""

    name: Annotated[str | None, _key("The compose project. Default: what compose itself would take.", "shop")] = None
    include: Annotated[list[str] | None, _key(
        "Files with the same keys, merged under this one, later over earlier; paths relative to this file.",
        ["../common.yaml"],
    )] = None
    compose: Annotated[str | list[str] | None, _key(
        "The base: a compose file, or exactly these. Default: what compose itself would take.",
        "docker-compose.yml",
        ["compose.yml", "compose.prod.yml"],
    )] = None
    mode: Annotated[Mode | None, _key("The mode of services that name none. Default: prod.", "prod")] = None
    defaults: Annotated[RawDefaults | None, _key(
        "Keys under every service that hsm.yaml names, by mode: maps by key, lists appended.",
        {"dev": {"environment": {"DEBUG": "1"}}},
    )] = None
    services: Annotated[dict[str, RawService | None] | None, _key(
        "What hsm is to change about services of the base, and services of its own.",
        {"api": {"mode": "dev", "repo": {"url": "https://git.example/acme/api.git"}}},
    )] = None
    groups: Annotated[dict[str, RawGroup | None] | None, _key(
        "Alternatives: services or profiles of which one, or any number, runs.",
        {"database": {"strategy": "1-of-N", "alias": "db", "options": ["postgres", "mysql"], "selection": "postgres"}},
    )] = None
    bundle: Annotated[RawBundle | None, _key("What a bundle may take for granted.", {"allow": ["/var/log"]})] = None
    targets: Annotated[dict[str, dict[str, str]] | None, _key(
        "Where the stack can be deployed to, as in [tool.hsm.targets]; these come before those.",
        {"staging": {"host": "ssh://deploy@staging.example"}},
    )] = None


class LocalRepository(Raw):
    ref: Annotated[str | None, _key("Another branch, tag or commit, for me.", "my-branch")] = None
    path: Annotated[str | None, _key(
        "My own checkout: hsm reads it, and never fetches into it or moves it.", "../api", "~/src/api"
    )] = None


class LocalProd(Raw):
    image: Annotated[str | None, _key("Another image, for me.", "registry.example/acme/api:1.5.0-rc1")] = None
    version: Annotated[str | None, _key("Another range over the tags of the image, for me.", "~1.5")] = None


class LocalService(Raw):
    mode: Annotated[Mode | None, _key(
        "The mode for me. `hsm dev:SERVICE` and `hsm prod:SERVICE` write it.", "dev"
    )] = None
    repo: Annotated[LocalRepository | None, _key("Another ref, or a checkout of my own.", {"path": "../api"})] = None
    dev: Annotated[RawDev | None, _key(
        "Keys for me, over those of hsm.yaml, while it is dev.", {"environment": {"LOG_LEVEL": "debug"}}
    )] = None
    prod: Annotated[LocalProd | None, _key("Another image or version, for me.", {"version": "~1.5"})] = None


class LocalGroup(Raw):
    selection: Annotated[str | list[str] | None, _key(
        "What is selected for me. `hsm use:OPTION` and `hsm unuse:OPTION` write it.", "mysql", ["grafana"]
    )] = None


class LocalFile(Raw):
    """hsm.local.yaml."""

    mode: Annotated[Mode | None, _key("The mode of services that name none, for me.", "dev")] = None
    services: Annotated[dict[str, LocalService | None] | None, _key(
        "Services by name: my modes, checkouts, dev keys and images.", {"api": {"mode": "dev"}}
    )] = None
    groups: Annotated[dict[str, LocalGroup | None] | None, _key(
        "Groups by name: my selections.", {"database": {"selection": "mysql"}}
    )] = None


LOCAL_HINT: Final = (
    "hsm.local.yaml may set mode, services.*.mode, services.*.repo.ref, services.*.repo.path, services.*.dev, "
    "services.*.prod.image, services.*.prod.version and groups.*.selection"
)
