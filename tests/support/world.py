"""A world of real parts for tests with containers: an engine, a registry with images, git repositories over http.

The parts are those of scripts/demo, so what the demo tells a reader, a test can prove. Nothing here is a fixture:

    with world.started(tmp_path_factory.mktemp("world")) as here:
        workspace = here.workspace(tmp_path / "workspace")
        assert here.doit(workspace, "up").returncode == 0
        assert here.ask(here.demo, "postgres")
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from tests.support import gitserver

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPTS = REPOSITORY / "scripts"
LOCAL_FILES = shutil.ignore_patterns("hsm.local.yaml", "hsm.lock", "docker-compose.hsm.yml", "__pycache__")


@cache
def engine_ready() -> bool:
    """Whether an engine and docker compose answer; under scripts/test, which has started them, a no is an error."""
    ready = _succeeds("docker", "info") and _succeeds("docker", "compose", "version")
    if not ready and os.environ.get("HSM_TEST_ENGINE"):
        raise RuntimeError("HSM_TEST_ENGINE is set, but no docker engine with docker compose answers")
    return ready


def _succeeds(*command: str) -> bool:
    environment = os.environ | {"HOME": _home()}
    with suppress(FileNotFoundError):
        return subprocess.run(command, env=environment, capture_output=True, check=False).returncode == 0
    return False


def _home() -> str:
    """The home of the user who runs the tests; HOME may be a guard of the tests by now."""
    return pwd.getpwuid(os.getuid()).pw_dir


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def docker_settings(folder: Path) -> dict[str, str]:
    """A private DOCKER_CONFIG: no credentials of the user, but the engine and the compose plugin that the user has."""
    own = Path(os.environ.get("DOCKER_CONFIG") or Path(_home(), ".docker"))
    (folder / "cli-plugins").mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text("{}")
    plugin, link = own / "cli-plugins" / "docker-compose", folder / "cli-plugins" / "docker-compose"
    if plugin.exists() and not link.exists():
        link.symlink_to(plugin)
    context = subprocess.run(
        ["docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}"],
        env=os.environ | {"DOCKER_CONFIG": str(own)},
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    return {"DOCKER_CONFIG": str(folder)} | ({"DOCKER_HOST": context} if context else {})


@contextmanager
def running(*command: str, log: Path) -> Iterator[None]:
    """A server for as long as the block runs; its words go to the log."""
    with log.open("wb") as words:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=words, stderr=words)
    try:
        yield
    finally:
        process.terminate()
        process.wait(20)


def read(url: str) -> str:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=5) as answer:
        text: bytes = answer.read()
        return text.decode()


def ask(url: str, pattern: str = "", seconds: float = 10) -> str:
    """What the url answers, as soon as it matches the pattern; AssertionError with the last answer when it does not."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            answer = read(url)
        except OSError as error:
            answer = f"({error})"
        else:
            if re.search(pattern, answer):
                return answer
        assert time.monotonic() < deadline, f"{url} answers {answer!r}, which does not match {pattern!r}"
        time.sleep(0.1)


@contextmanager
def registry(folder: Path) -> Iterator[str]:
    """An empty registry without a password; gives its HOST:PORT."""
    host = f"127.0.0.1:{free_port()}"
    folder.mkdir(parents=True, exist_ok=True)
    settings = folder / "registry.yml"
    settings.write_text(
        "version: 0.1\nlog: {level: warn}\n"
        f'storage: {{filesystem: {{rootdirectory: "{folder}/data"}}, delete: {{enabled: true}}}}\n'
        f'http: {{addr: "{host}"}}\n'
    )
    program = os.environ.get("HSM_DOCKER_REGISTRY", "docker-registry")
    with running(program, "serve", str(settings), log=folder / "registry.log"):
        ask(f"http://{host}/v2/")
        yield host


@contextmanager
def git_server(folder: Path, log: Path) -> Iterator[str]:
    """Serves the bare repositories of the folder; gives the url that their names are appended to."""
    port = free_port()
    with running(sys.executable, str(SCRIPTS / "git-http-server.py"), str(folder), "--port", str(port), log=log):
        ask(f"http://127.0.0.1:{port}/shop/api.git/info/refs?service=git-upload-pack")
        yield f"http://127.0.0.1:{port}/"


def push_images(host: str, *arguments: str) -> None:
    """The images of the demo, or with ("--only", "api", "--version", "1.6.0") one more version of one of them."""
    busybox = os.environ.get("HSM_BUSYBOX") or shutil.which("busybox") or "busybox"
    command = [sys.executable, str(SCRIPTS / "demo-images.py"), host, "--busybox", busybox, *arguments]
    subprocess.run(command, check=True)


def make_sources(folder: Path, host: str) -> None:
    """The repositories shop/{api,model,web}.git of the demo."""
    subprocess.run([sys.executable, str(SCRIPTS / "demo-sources.py"), str(folder), "--registry", host], check=True)


@dataclass
class World:
    """The demo's registry and repositories on free ports, and workspaces whose stacks name them."""

    folder: Path
    registry: str  # HOST:PORT
    git: str  # http://HOST:PORT/
    docker: Mapping[str, str]
    ports: dict[str, int] = field(default_factory=lambda: {name: free_port() for name in ("DEMO", "ML", "METRICS")})

    @property
    def name(self) -> str:
        """The projects are NAME-demo and NAME-ml, so that a demo, or another world, may be up beside this one."""
        return "hsm-test-" + self.registry.rpartition(":")[2]

    @property
    def demo(self) -> str:
        return f"http://127.0.0.1:{self.ports['DEMO']}/"

    @property
    def ml(self) -> str:
        return f"http://127.0.0.1:{self.ports['ML']}/"

    def ask(self, url: str, pattern: str = "", seconds: float = 10) -> str:
        return ask(url, pattern, seconds)

    def environment(self) -> dict[str, str]:
        """For the processes of a test: nothing of the user's own settings but the PATH and where the engine is."""
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        ports = {f"{name}_PORT": str(port) for name, port in self.ports.items()}
        return {"PATH": path, "HOME": str(home), "NO_COLOR": "1", "GIT_TERMINAL_PROMPT": "0", **self.docker, **ports}

    def workspace(self, target: Path) -> Path:
        """A fresh copy of this repository's own workspace in a git repository, with the addresses of this world."""
        target.mkdir(parents=True)
        for file in ("dodo.py", "pyproject.toml", ".gitignore"):
            shutil.copy(REPOSITORY / file, target)
        shutil.copytree(REPOSITORY / "stacks", target / "stacks", ignore=LOCAL_FILES)
        for path in (target / "stacks").rglob("*"):
            if path.is_file():
                path.write_text(self.rewritten(path.read_text()))
        gitserver.git(target, "init", "--quiet")
        gitserver.commit(target, {}, "The workspace")
        return target

    def rewritten(self, text: str) -> str:
        """The demo's fixed addresses and project names, as those of this world."""
        text = text.replace("127.0.0.1:5050", self.registry).replace("http://127.0.0.1:8418/", self.git)
        return re.sub(r"^name: hsm-", f"name: {self.name}-", text, flags=re.MULTILINE)

    def run(self, directory: Path, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """A command as a user would type it, without a terminal; its output is kept, and its code is not judged."""
        environment = self.environment() | variables
        return subprocess.run(
            command,
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    def doit(self, directory: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return self.run(directory, "doit", *words, **variables)

    def hsm(self, directory: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return self.run(directory, "hsm", *words, **variables)

    def push(self, image: str, version: str) -> None:
        """Another version of one of the demo's images, under the tag of that version."""
        push_images(self.registry, "--only", image, "--version", version)

    def commit(self, repository: str, files: Mapping[str, str | bytes], branch: str = "main") -> str:
        """One commit more on a branch of shop/REPOSITORY.git (which may be new); returns the commit."""
        bare = self.folder / "git" / "shop" / f"{repository}.git"
        with tempfile.TemporaryDirectory(dir=self.folder) as temporary:
            clone = Path(temporary, repository)
            gitserver.git(self.folder, "clone", "--quiet", str(bare), str(clone))
            known = gitserver.git(clone, "branch", "--remotes", "--format=%(refname:lstrip=3)").split()
            gitserver.git(clone, "checkout", "--quiet", *([] if branch in known else ["-b"]), branch)
            commit = gitserver.commit(clone, files)
            gitserver.git(clone, "push", "--quiet", "origin", branch)
        return commit

    def containers(self, stack: str, *, everything: bool = False) -> dict[str, str]:
        """Service -> container id, of what runs of the stack; with `everything` of what has ended, too."""
        label = f"label=com.docker.compose.project={self.name}-{stack}"
        form = '{{.Label "com.docker.compose.service"}} {{.ID}}'
        scope = ["--all"] if everything else []
        listed = self.run(self.folder, "docker", "ps", *scope, "--no-trunc", "--filter", label, "--format", form)
        return dict(line.split() for line in sorted(listed.stdout.splitlines()))

    def remove(self) -> None:
        """Everything that the engine has of this world: containers, networks, volumes and images."""
        for stack in ("demo", "ml"):
            project = f"{self.name}-{stack}"
            self.run(self.folder, "docker", "compose", "-p", project, "down", "-v", "--remove-orphans", "-t", "0")
        patterns = [f"reference={self.registry}/shop/*", f"reference={self.name}-*"]
        filters = [word for pattern in patterns for word in ("--filter", pattern)]
        images = set(self.run(self.folder, "docker", "images", "--quiet", *filters).stdout.split())
        if images:
            self.run(self.folder, "docker", "image", "rm", "--force", *sorted(images))


@contextmanager
def started(folder: Path) -> Iterator[World]:
    """Registry, images, repositories and git server, below the folder; all is ended and removed after the block."""
    with ExitStack() as stack:
        host = stack.enter_context(registry(folder / "registry"))
        push_images(host)
        make_sources(folder / "git", host)
        url = stack.enter_context(git_server(folder / "git", folder / "git.log"))
        world = World(folder, host, url, docker_settings(folder / "docker"))
        stack.callback(world.remove)
        yield world
