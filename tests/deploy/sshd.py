"""An ssh server of our own on loopback, with a throwaway key: this machine as another one."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support import ports, world

SSHD = shutil.which("sshd", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"]))


@contextmanager
def running(folder: Path, *, shared: bool = False) -> Iterator[tuple[str, Path]]:
    """(ssh url, folder with an `ssh` that knows the key), as long as the block runs.

    `shared`: one connection for all, as ControlMaster in a person's settings has it: most of a deploy is to connect.
    """
    assert SSHD is not None, "openssh-server is not installed"
    folder.mkdir(parents=True)
    for name in ("key", "host"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    shutil.copy(folder / "key.pub", folder / "authorized")
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    port = ports.free_port()
    settings = folder / "sshd_config"
    settings.write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized\n"
        "PidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin yes\n"
        "MaxStartups 100\nMaxSessions 100\n"
    )
    program = folder / "bin/ssh"
    program.parent.mkdir()
    options = "-o IdentitiesOnly=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
    if shared:
        options += f" -o ControlMaster=auto -o ControlPersist=300 -o ControlPath={folder}/line"
    program.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F /dev/null -i {folder}/key {options} "$@"\n')
    program.chmod(0o755)
    with world.running(SSHD, "-D", "-e", "-f", str(settings), log=folder / "sshd.log"):
        url = f"ssh://{pwd.getpwuid(os.getuid()).pw_name}@127.0.0.1:{port}"
        _until_it_answers(program, port)
        try:
            yield url, program.parent
        finally:
            subprocess.run([str(program), "-O", "exit", "127.0.0.1"], check=False, capture_output=True)


def _until_it_answers(program: Path, port: int) -> None:
    said = b""
    for _ in range(100):
        done = subprocess.run([str(program), "-p", str(port), "127.0.0.1", "true"], check=False, capture_output=True)
        if done.returncode == 0:
            return
        said = done.stderr
        time.sleep(0.1)
    raise AssertionError(said)
