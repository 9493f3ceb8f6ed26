"""Bases of an attacker, as compose would print them: what its schema allows at each place, and now and then what it
does not, filled with words that are meant to lead somewhere."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hsm_tasks.core import scalars
from tests.faults.hostile import Thrower

SPEC: dict[str, Any] = json.loads((Path(scalars.__file__).parent / "compose-spec.json").read_text("utf-8"))
SERVICES = ("api", "web", "pg", "my", "job", "..", ".", "-rf", "...", "CON", "a.b", "API", "x" * 300, "null", "1e3")
WALKED = (
    "build", "depends_on", "volumes", "networks", "ports", "profiles", "image", "develop", "deploy", "links", "labels",
    "volumes_from", "network_mode", "ipc", "pid", "env_file", "label_file", "healthcheck", "environment", "secrets",
    "configs", "pull_policy", "mem_limit", "cpus", "pids_limit", "scale", "mem_reservation", "security_opt", "restart",
    "context", "additional_contexts", "watch", "path", "action", "source", "target", "type", "condition", "required",
    "container_name", "provider", "extends", "dockerfile", "args", "bind", "resources", "limits", "replicas", "test",
)  # fmt: skip
"""The keys that hsm looks at itself."""
TEXTS = (
    "api", "db", "web:db", "service:api", "service:db", "service:", "container:x", "container:", "./src", "./src:/src",
    "/etc:/etc:ro", "../../..:/x", "~/x:/y", "~root", "${X}", "$X:/y", "${X:-./a}:/b", "${X:?no}", "$$", "$", "${", "}",
    "docker-image://a:1", "docker-image://", "docker-image://${X}", "docker-image://../x", ":", "::", ":::", "/",
    "bind", "volume",
    "image",
    "service_healthy", "service_completed_successfully", "NONE", "build", "rebuild", "sync", "A=1", "=", "A", "a=b=c",
    "https://h/x.git#main:sub", "git@h:x", "github.com/a/b", "seccomp:./x", "on-failure:x", "on-failure:²", "64M", "*",
    "a" * 5000, "../" * 40 + "etc/passwd", "file:///etc", "services: {}\n  x: {image: y}\n", "# x\n", "!reset null",
)  # fmt: skip
NUMBERS: Mapping[str, tuple[Any, ...]] = {
    "boolean": (True, False), "integer": (0, 1, -1, 80, 65536, 10**30), "number": (0, 0.5, -1, 1e300), "null": (None,),
}  # fmt: skip
PORTS = (
    "80", "80-90:80-90/udp", "0-99999999999", "1:0-65536", "9-1", "²", "²-³", "1-x", "127.0.0.1::80", "[::1]:80:80",
    "${X}", "${X:-1}-99999999", ":", "/", "-", {"target": "²-9"}, {"target": 80, "published": "0-99999999999"},
)  # fmt: skip


class Shaper:
    """The same seed gives the same bases."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.thrower = Thrower(seed)
        self.broken = False

    def base(self) -> Any:
        """What compose prints, as a tree; `broken`: compose never would."""
        tree: dict[str, Any] = {"name": "shop", "services": self._services()}
        for section in ("volumes", "networks", "configs", "secrets"):
            if self.chance.random() < 0.5:
                names = self.chance.choices((*SERVICES, "default", "data"), k=2)
                tree[section] = {name: self._entry(section.removesuffix("s")) for name in names}
        self.broken = self.chance.random() < 0.1
        return self._broken(tree) if self.broken else tree

    def _services(self) -> dict[str, Any]:
        usual = [name for name in SERVICES[:4] if self.chance.random() < 0.95]
        return {name: self._entry("service") for name in (*usual, *self.chance.choices(SERVICES, k=2))}

    def _entry(self, kind: str) -> Any:
        raw = SPEC["$defs"][kind]
        entry = self._mapping(raw, 4) if self.chance.random() < 0.97 else None
        if kind == "service" and self.chance.random() < 0.7:
            entry = {"image": f"a/{self.chance.choice(('b', 'b:1', '${X}', 'b@sha256:' + '0' * 64))}", **(entry or {})}
        if kind == "service" and self.chance.random() < 0.2:
            entry = {**(entry or {}), "ports": self.chance.choices(PORTS, k=2)}
        return entry if entry is not None or kind != "service" else {}

    def _broken(self, tree: dict[str, Any]) -> Any:
        """Of another kind somewhere at the top, where compose would never have it."""
        kind = self.chance.randrange(4)
        if kind == 0:
            return self.thrower.value()
        if kind == 1:
            return {**tree, self.chance.choice(tuple(tree)): self.thrower.value()}
        if kind == 2:
            return {**tree, "services": {self.thrower.key(): self._entry("service"), **tree["services"]}}
        return {**tree, "services": {**tree["services"], self.chance.choice(SERVICES): self.thrower.value()}}

    def _shaped(self, raw: Mapping[str, Any], depth: int) -> Any:
        """A value for a place of the schema."""
        if "$ref" in raw:
            raw = {**SPEC["$defs"][raw["$ref"].rpartition("/")[2]], **{k: v for k, v in raw.items() if k != "$ref"}}
        ways = raw.get("oneOf") or raw.get("anyOf")
        if ways:
            return self._shaped(self.chance.choice(ways), depth)
        declared = raw.get("type", "string")
        kind = declared if isinstance(declared, str) else self.chance.choice(declared)
        if kind == "object":
            return self._mapping(raw, depth)
        if kind == "array":
            return [self._shaped(raw.get("items", {}), depth - 1) for _ in range(self.chance.randrange(4))]
        return self._scalar(kind, raw)

    def _mapping(self, raw: Mapping[str, Any], depth: int) -> dict[str, Any]:
        if depth <= 0:
            return {}
        if "$ref" in raw:
            return self._mapping(SPEC["$defs"][raw["$ref"].rpartition("/")[2]], depth)
        for part in raw.get("allOf", ()):
            raw = {**raw, **part}
        known = raw.get("properties", {})
        first = [name for name in known if name in WALKED]
        names = {*self.chance.sample(first, min(len(first), self.chance.randrange(7))), *raw.get("required", ())}
        names |= {*self.chance.sample(tuple(known), min(len(known), self.chance.randrange(2)))}
        found = {name: self._shaped(known[name], depth - 1) for name in sorted(names & set(known))}
        for pattern, below in raw.get("patternProperties", {}).items():
            words = {self._word() for _ in range(self.chance.randrange(3))}
            found |= {word: self._shaped(below, depth - 1) for word in sorted(words) if re.search(pattern, word)}
        return found

    def _scalar(self, kind: str, raw: Mapping[str, Any]) -> Any:
        if raw.get("enum") and self.chance.random() < 0.9:
            return self.chance.choice(raw["enum"])
        if kind in NUMBERS:
            return self.chance.choice(NUMBERS[kind])
        return self._word()

    def _word(self) -> str:
        if self.chance.random() < 0.8:
            return self.chance.choice((*TEXTS, *SERVICES))
        value = self.thrower.value(0)
        return value if isinstance(value, str) else "x"


RIGHT_FILE = """\
services:
  api: {image: scratch, depends_on: [db]}
  worker: {image: scratch, depends_on: [db]}
  web: {image: scratch}
  pg: {image: scratch}
  my: {image: scratch}
"""
"""What the stage of the faults needs of a base."""


def bomb(levels: int = 24) -> str:
    """A line a level, each ten times the one before."""
    lines = ["x-0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"x-{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, levels)]
    return "\n".join(lines) + "\n"


def _with(service: str) -> str:
    """The right file with more said of a service."""
    return RIGHT_FILE.replace("web: {image: scratch}", f"web: {{image: scratch, {service}}}")


FILES: Mapping[str, str | bytes] = {
    "a bomb": bomb() + RIGHT_FILE,
    "a bomb in a service": bomb() + _with("labels: {a: *a9}"),
    "merge keys that multiply": "x-a: &a {k: v}\n"
    + "".join(f"x-{n}: &{chr(97 + n)} {{<<: [*{chr(96 + n)}, *{chr(96 + n)}], k{n}: v}}\n" for n in range(1, 20))
    + RIGHT_FILE,
    "deep lists": f"x-deep: {'[' * 60_000}{']' * 60_000}\n{RIGHT_FILE}",
    "deep mappings": f"x-deep: {'{a: ' * 20_000}1{'}' * 20_000}\n{RIGHT_FILE}",
    "deep lists with an include": f"include: []\nx-deep: {'[' * 60_000}{']' * 60_000}\n{RIGHT_FILE}",
    "NUL": RIGHT_FILE.encode() + b"x-a: \"\0\"\n",
    "control characters": RIGHT_FILE + "x-a: \"\\e[31m\\a\\b\\x7f\\u202e\"\nx-\x1b[31m: 1\n",
    "no UTF-8": b"\xff\xfe\x00" + RIGHT_FILE.encode(),
    "UTF-16": RIGHT_FILE.encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf" + RIGHT_FILE.encode(),
    "an object of Python": _with("labels: !!python/object/apply:os.system ['touch x']"),
    "a new object of Python": f"x-a: !!python/object/new:os.system [touch x]\n{RIGHT_FILE}",
    "foreign tags": _with("command: !<tag:x,2000:y> [a], labels: !binary 'AAAA', user: !include /etc/passwd"),
    "!reset of everything": "services: !reset null\n",
    "!reset of a service": RIGHT_FILE.replace("{image: scratch, depends_on: [db]}", "!reset null"),
    "!reset of a name": f"name: !reset null\n{RIGHT_FILE}",
    "!reset of a key": _with("image: !reset null"),
    "!override in lists": _with("command: [!override a, !reset b], ports: !override [!reset '80']"),
    "!override of a key of a mapping": _with("labels: {!override a: b, !reset c: d}"),
    "a name that leads out": f"name: ../../x\n{RIGHT_FILE}",
    "a name with a line in it": f'name: "a\\nb"\n{RIGHT_FILE}',
    "a name of a variable": f"name: ${{X:-../y}}\n{RIGHT_FILE}",
    "a service that leads out": RIGHT_FILE + "  ../../../x: {image: scratch}\n",
    "a service with a line in it": RIGHT_FILE + '  "a\\nb": {image: scratch}\n',
    "a service that looks alike": RIGHT_FILE + "  \u0430pi: {image: scratch}\n",
    "services of dots": RIGHT_FILE + "  ..: {image: scratch}\n  .: {image: scratch}\n  ...: {image: scratch}\n",
    "services like options": RIGHT_FILE + "  -rf: {image: scratch}\n  --help: {image: scratch}\n",
    "a service with a long name": RIGHT_FILE + f"  {'x' * 300}: {{image: scratch}}\n",
    "services that differ in case": RIGHT_FILE + "  API: {image: scratch}\n  Api: {image: scratch}\n",
    "keys that are no text": RIGHT_FILE + "  1: {image: scratch}\n  true: {image: scratch}\n  null: {image: scratch}\n",
    "keys that are trees": RIGHT_FILE + "  ? [a, b]\n  : {image: scratch}\n  ? {a: b}\n  : {image: scratch}\n",
    "services that are no mapping": "services: [api, web]\n",
    "no services": "services:\n",
    "a document that is a list": "- services\n",
    "several documents": f"{RIGHT_FILE}---\n{RIGHT_FILE}---\n- x\n",
    "nothing": "",
    "ports without end": _with('ports: ["0-99999999999", "1:0-99999999999"]'),
    "ports of another script": _with('ports: ["80-\u00b2"]'),
    "an image that is an option": _with("image: --privileged"),
    "an image with a line in it": _with('image: "a\\nb"'),
    "an image of a variable in itself": _with("image: '${A:-${B:-${C:-x}}}'"),
    "a variable without an end": _with("image: '${A'"),
    "volumes that are odd": RIGHT_FILE + "volumes: {a: , b: {driver_opts: {device: /etc, o: bind}}, ../x: {}}\n",
    "networks that are odd": RIGHT_FILE + "networks: {default: {external: true, name: ../x}, '-x': {}}\n",
    "secrets that are odd": RIGHT_FILE + "secrets: {a: {file: /dev/zero}, b: {file: ../../x}, c: {environment: ''}}\n",
    "a secret without an end": _with("secrets: [a]") + "secrets: {a: {file: /dev/zero}}\n",
    "a config that is a device": _with("configs: [a]") + "configs: {a: {file: /dev/zero}}\n",
    "a context that is a device": _with("build: /dev/zero"),
    "a context that leads out": _with("build: ../../../../../../etc"),
    "a context that is a program": _with("build: 'ext::sh -c touch% x'"),
    "a Dockerfile that leads out": _with("build: {context: ., dockerfile: ../../../../../etc/passwd}"),
    "a Dockerfile that is a device": _with("build: {context: ., dockerfile: /dev/zero}"),
    "a Dockerfile that is a pipe": _with("build: {context: ., dockerfile: ./pipe}"),
    "an env file that is a device": _with("env_file: /dev/zero"),
    "an env file that is a pipe": _with("env_file: [./pipe]"),
    "an env file that leads out": _with("env_file: [{path: ../../../../../../etc/passwd}]"),
    "a label file that is a pipe": _with("label_file: ./pipe"),
    "extends of a device": _with("extends: {file: /dev/zero, service: x}"),
    "extends of a pipe": _with("extends: {file: ./pipe, service: x}"),
    "extends that leads out": _with("extends: {file: ../../../../../../etc/passwd, service: x}"),
    "extends of itself": _with("extends: {file: docker-compose.yml, service: web}"),
    "extends in a circle": _with("extends: {service: api}").replace("api: {", "api: {extends: {service: web}, "),
    "extends that is odd": _with("extends: {file: [a], service: {b: c}}"),
    "an include of itself": f"include: [docker-compose.yml]\n{RIGHT_FILE}",
    "an include in a circle": f"include: [other.yml]\n{RIGHT_FILE}",
    "an include of a device": f"include: [/dev/zero]\n{RIGHT_FILE}",
    "an include of a pipe": f"include: [./pipe]\n{RIGHT_FILE}",
    "an include of a folder": f"include: [.]\n{RIGHT_FILE}",
    "an include that leads out": f"include: [../../../../../../etc/passwd]\n{RIGHT_FILE}",
    "an include from afar": f"include: ['https://127.0.0.1:1/x.git', 'oci://127.0.0.1:1/x']\n{RIGHT_FILE}",
    "an include that is a program": f"include: ['ext::sh -c touch% x']\n{RIGHT_FILE}",
    "an include of a huge file": f"include: [huge.yml]\n{RIGHT_FILE}",
    "an include with a piped env file": f"include: [{{path: small.yml, env_file: ./pipe}}]\n{RIGHT_FILE}",
    "an include with an endless env file": f"include: [{{path: small.yml, env_file: /dev/zero}}]\n{RIGHT_FILE}",
    "an include with another folder": f"include: [{{path: small.yml, project_directory: /dev}}]\n{RIGHT_FILE}",
    "an include that is odd": f"include: [{{path: {{a: b}}}}, [c], 1]\n{RIGHT_FILE}",
    "an include of a variable": f"include: ['${{X}}/y.yml']\n{RIGHT_FILE}",
    "many includes": "include: [" + ", ".join(["small.yml"] * 2000) + f"]\n{RIGHT_FILE}",
    "many services": RIGHT_FILE + "".join(f"  s{n}: {{image: scratch, depends_on: [s{n + 1}]}}\n" for n in range(300)),
    "a long chain of dependencies": RIGHT_FILE
    + "".join(f"  s{n}: {{image: scratch, depends_on: [s{n - 1 if n else 'web'}]}}\n" for n in range(300)),
    "a circle of dependencies": _with("depends_on: [web]"),
    "long words": _with(f"labels: {{a: {'x' * 3_000_000}}}"),
    "a provider": _with("provider: {type: touch, options: {x: y}}"),
    "gpus, models and jobs": RIGHT_FILE + "models: {a: {model: x}}\njobs: {b: {image: x}}\n",
}
"""What a docker-compose.yml may say, by what is wrong in it."""
BESIDE: Mapping[str, str] = {
    "other.yml": "include: [docker-compose.yml]\nservices: {}\n",
    "small.yml": "services: {small: {image: scratch}}\n",
}
ENVIRONMENTS: Mapping[str, str | bytes] = {
    "NUL": b"A=\0\n",
    "no UTF-8": b"A=\xff\n",
    "no names": "=\n==\n A B\n",
    "a file of its own": "COMPOSE_FILE=/etc/passwd\n",
    "a device": "COMPOSE_FILE=/dev/zero\n",
    "a pipe": "COMPOSE_FILE=pipe\n",
    "another env file": "COMPOSE_ENV_FILES=/dev/zero\n",
    "a project that leads out": "COMPOSE_PROJECT_NAME=../../x\n",
    "variables in a circle": "A=${B}\nB=${A}\nCOMPOSE_FILE=${A}\n",
    "profiles": "COMPOSE_PROFILES=*,../x,--help\n",
    "a long one": f"A={'x' * 3_000_000}\n",
    "many": "A=1\n" * 300_000,
    "a separator": "COMPOSE_PATH_SEPARATOR=o\nCOMPOSE_FILE=docker-compose.yml\n",
    "values that double": "A0=x\n" + "".join(f"A{n + 1}=${{A{n}}}${{A{n}}}\n" for n in range(20)),
}
"""What .env may say."""
