"""What may stand in hsm.yaml and in hsm.local.yaml: the names and the kinds of values, nothing about their meaning.

Everything is optional here, because an included file may hold any part; what must be there in the end is checked in
`check`. msgspec converts by these structs, and its JSON schema of them finds all the mistakes when that fails.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

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


class Raw(msgspec.Struct, forbid_unknown_fields=True):
    """The base of all structs here; None is a key without a value, which says nothing."""


class RawRepository(Raw):
    url: str | None = None
    ref: str | None = None
    name: str | None = None
    submodules: bool | None = None


class RawLimits(Raw):
    memory: str | None = None
    cpus: str | None = None
    pids: int | None = None


class DevKeys(Raw):
    """The keys of dev that hsm reads itself."""

    build: str | dict[str, Any] | None = None
    volumes: list[str | dict[str, Any]] | None = None
    watch: list[dict[str, Any]] | None = None
    rebuild: list[str] | None = None


class ProdKeys(Raw):
    """The keys of prod that hsm reads itself."""

    image: str | None = None
    version: str | None = None
    limits: RawLimits | None = None
    replicas: int | None = None


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
    dev: RawDev | None = None
    prod: RawProd | None = None


class RawService(Raw):
    mode: Mode | None = None
    repo: RawRepository | None = None
    dev: RawDev | None = None
    prod: RawProd | None = None
    oneshot: bool | None = None


class RawOption(Raw):
    consumers: dict[str, RawKeys | None] | None = None


class RawGroup(Raw):
    strategy: Strategy | None = None
    alias: str | None = None
    options: list[str] | dict[str, RawOption | None] | None = None
    profiles: list[str] | None = None
    selection: str | list[str] | None = None


class StackFile(Raw):
    """hsm.yaml, or a file that it includes."""

    name: str | None = None
    include: list[str] | None = None
    compose: str | list[str] | None = None
    mode: Mode | None = None
    defaults: RawDefaults | None = None
    services: dict[str, RawService | None] | None = None
    groups: dict[str, RawGroup | None] | None = None


class LocalRepository(Raw):
    ref: str | None = None
    path: str | None = None


class LocalProd(Raw):
    image: str | None = None
    version: str | None = None


class LocalService(Raw):
    mode: Mode | None = None
    repo: LocalRepository | None = None
    dev: RawDev | None = None
    prod: LocalProd | None = None


class LocalGroup(Raw):
    selection: str | list[str] | None = None


class LocalFile(Raw):
    """hsm.local.yaml."""

    mode: Mode | None = None
    services: dict[str, LocalService | None] | None = None
    groups: dict[str, LocalGroup | None] | None = None


LOCAL_HINT: Final = (
    "hsm.local.yaml may set mode, services.*.mode, services.*.repo.ref, services.*.repo.path, services.*.dev, "
    "services.*.prod.image, services.*.prod.version and groups.*.selection"
)
