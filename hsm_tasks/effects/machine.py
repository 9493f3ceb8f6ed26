"""The machine of a target: its docker engine, through docker's own ways, and a folder of ours on its disk.

Files go through a shell there (of ssh, or of this machine) as base64: it needs sh, base64 and tar.
"""

from __future__ import annotations

import base64
import contextlib
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from hsm_tasks.core.deploy import Seen
from hsm_tasks.core.errors import HsmError
from hsm_tasks.core.targets import Ssh, Target, ssh
from hsm_tasks.effects import process
from hsm_tasks.effects.process import Done

_LABEL = "com.docker.compose"
TRIAL = "hsm.trial"  # a label
_TIMEOUT = 120.0
_SSH = ("ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=15")


class Machine(msgspec.Struct, frozen=True):
    """`env` makes docker talk to its engine. `ssh` None: its disk is ours. `disk` False: nobody reaches its disk."""

    name: str
    env: Mapping[str, str]
    ssh: Ssh | None = None
    disk: bool = True

    # --- its disk ------------------------------------------------------------------------------------------------

    def shell(self, script: str, *, text_in: str | None = None, ok: tuple[int, ...] = (0,)) -> Done:
        """A script of sh, on that machine."""
        explain = f"the target {self.name} can not be used" if self.ssh else "a folder of this machine can not be used"
        hint = "255 is of ssh itself: try it by hand, it must get there without a password" if self.ssh else ""
        return process.run(*self._shell(script), text_in=text_in, timeout=_TIMEOUT, explain=explain, hint=hint, ok=ok)

    def _shell(self, script: str) -> tuple[str, ...]:
        if not self.ssh:
            return ("sh", "-c", script)
        user = ("-l", self.ssh.user) if self.ssh.user else ()
        port = ("-p", self.ssh.port) if self.ssh.port else ()
        return (*_SSH, *user, *port, "--", self.ssh.host, script)

    def folder(self, directory: str | None, project: str, *, make: bool) -> str:
        """Our folder there, as an absolute path."""
        wanted = shlex.quote(directory) if directory else f'"$HOME"/.local/share/hsm/{project}'
        making = f"umask 077; mkdir -p {wanted}/files && cd {wanted} && pwd -P"
        looking = f"cd {wanted} 2>/dev/null && pwd -P || echo {wanted}"
        return self.shell(making if make else looking).out.strip()

    def write(self, path: str, data: bytes, mode: int) -> None:
        """Puts a file in place in one move."""
        place, beside = shlex.quote(path), shlex.quote(f"{path}.hsm-new")
        parent = shlex.quote(str(Path(path).parent))
        steps = (f"mkdir -p {parent}", f"base64 -d >{beside}", f"chmod {mode:o} {beside}", f"mv -f {beside} {place}")
        script = f"umask 022; {' && '.join(steps)}"
        self.shell(script, text_in=base64.b64encode(data).decode())

    def read(self, path: str) -> bytes | None:
        """A file; None where there is none."""
        place = shlex.quote(path)
        done = self.shell(f"test -f {place} || exit 3; base64 {place}", ok=(0, 3))
        return base64.b64decode(done.out) if done.code == 0 else None

    def unpack(self, tar: bytes, folder: str) -> None:
        """Puts the files of a tar below a folder; what else is there stays. Where the disk is full, nothing changes:
        all is unpacked beside it first, and then each file takes its place in one move."""
        place, beside = shlex.quote(folder), shlex.quote(f"{folder}.hsm-new")
        folders = 'for one; do mkdir -p "$0/$one" || exit; done'
        files = 'for one; do mv -f "$one" "$0/$one" || exit; done'
        steps = (
            f"rm -rf {beside}", f"mkdir -p {place} {beside}", f"{{ base64 -d | tar -x -f - -C {beside}; }}",
            f"cd {beside}", f"find . -type d -exec sh -c '{folders}' {place} {{}} +",
            f"find . ! -type d -exec sh -c '{files}' {place} {{}} +",
        )
        script = f"umask 022; {' && '.join(steps)}; code=$?; rm -rf {beside}; exit $code"
        self.shell(script, text_in=base64.b64encode(tar).decode())

    def has(self, path: str) -> bool:
        """Whether a path is there."""
        return self.shell(f"test -e {shlex.quote(path)}", ok=(0, 1)).code == 0

    def digests(self, folder: str, paths: Sequence[str]) -> dict[str, str]:
        """path → SHA-256, of the files below a folder that are there."""
        if not paths:
            return {}
        names = " ".join(shlex.quote(path) for path in paths)
        said = self.shell(f"cd {shlex.quote(folder)} 2>/dev/null && sha256sum -- {names} 2>/dev/null; true").out
        return {line[66:]: line[:64] for line in said.splitlines()}

    @contextlib.contextmanager
    def alone(self, folder: str, who: str, busy: Callable[[str], None]) -> Iterator[None]:
        """The folder for one alone, until the block ends or this process does; `busy` hears for whom it has to wait.

        The lock is held by a program there that ends with the connection: a killed run leaves none.
        """
        place, name = shlex.quote(folder), shlex.quote(who)
        script = (f"cd {place} || exit; command -v flock >/dev/null || {{ echo none; exec cat >/dev/null; }}; "
                  "exec 9>>lock; flock -n 9 || { echo \"busy $(head -n 1 lock)\"; flock 9; }; "
                  f"printf '%s\\n' {name} >lock; echo held; exec cat >/dev/null")
        with process.held(*self._shell(script)) as lines:
            said = []
            for line in lines:
                if line in ("held", "none"):
                    break
                if line.startswith("busy "):
                    busy(line.removeprefix("busy "))
                said.append(line)
            else:
                words = "\n  ".join(said)
                raise HsmError(f"the target {self.name} can not be used: {folder} can not be locked\n  {words}")
            yield

    # --- its engine ----------------------------------------------------------------------------------------------

    def docker(self, *words: str, explain: str = "", text_in: str | None = None, at: Path | None = None) -> str:
        """`docker WORDS` there; what it says on stdout."""
        said = explain or f"the engine of {self.name} said no"
        return process.run("docker", *words, cwd=at, env=self.env, text_in=text_in, timeout=_TIMEOUT, explain=said).out

    def stream(self, *words: str, at: Path, on_line: Callable[[str], None], explain: str) -> None:
        """`docker WORDS` there, its lines as they come. Local files are read in the folder `at`."""
        process.stream("docker", *words, cwd=at, env=self.env, on_line=on_line, explain=explain)

    def containers(self, project: str, *, trials: bool = False) -> tuple[Seen, ...]:
        """The containers of a compose project; those of `compose run` apart. Or, with `trials`, those of `TRIAL`."""
        form = "\t".join(f"{{{{{field}}}}}" for field in (
            f'.Label "{_LABEL}.service"', ".ID", ".State", ".Status", f'.Label "{_LABEL}.config-hash"',
            f'.Label "{_LABEL}.oneoff"'))
        asked = ("ps", "--all", "--no-trunc", "--filter", f"label={_LABEL}.project={project}",
                 *(("--filter", f"label={TRIAL}") if trials else ()))
        lines = (line.split("\t") for line in self.docker(*asked, "--format", form).splitlines())
        return tuple(Seen(*line[:5]) for line in lines if line[0] and (line[5].lower() == "true") is trials)

    def restarts(self, seen: tuple[Seen, ...]) -> dict[str, int]:
        """How often each of them has been started anew: the same twice means that it stays up."""
        if not seen:
            return {}
        argv = ("docker", "inspect", "--format", "{{.Id}} {{.RestartCount}}", *(one.id for one in seen))
        lines = process.run(*argv, env=self.env, timeout=_TIMEOUT, ok=(0, 1)).out.splitlines()  # 1: one is gone by now
        return {identity: int(count) for identity, count in (line.split() for line in lines if line)}

    def last_words(self, container: str) -> str:
        """What a container wrote last."""
        argv = ("docker", "logs", "--tail", "20", container)
        done = process.run(*argv, env=self.env, timeout=_TIMEOUT, ok=(0, 1))
        return done.out + done.err

    def stats(self, containers: tuple[str, ...]) -> dict[str, tuple[str, str]]:
        """container → (memory used / limit, cpu), of those that run."""
        if not containers:
            return {}
        form = "{{.ID}}\t{{.MemUsage}}\t{{.CPUPerc}}"
        asked = self.docker("stats", "--no-stream", "--no-trunc", "--format", form, *containers)
        rows = (line.split("\t") for line in asked.splitlines())
        return {row[0]: (row[1], row[2]) for row in rows if len(row) == 3}


def machine(target: Target) -> Machine:
    """The machine of a target; a context is asked where it leads."""
    if target.host:
        return Machine(target.name, {"DOCKER_HOST": target.host}, ssh(target.host))
    env = {"DOCKER_HOST": "", "DOCKER_CONTEXT": target.context or ""}
    form = "{{.Endpoints.docker.Host}}"
    done = process.run("docker", "context", "inspect", "--format", form, target.context or "", timeout=_TIMEOUT,
                       explain=f"the target {target.name} names a docker context", hint="docker context ls")
    where = done.out.strip()
    if where.startswith("ssh://"):
        found = ssh(where)
        if found is None:
            hint = "it may be ssh://HOST, with a user and a port where they are needed"
            raise HsmError(f"the context {target.context} leads to {where}", hint)
        return Machine(target.name, env, found)
    return Machine(target.name, env, disk=where.startswith(("unix://", "npipe://")))
