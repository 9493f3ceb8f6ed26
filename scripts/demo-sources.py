"""Makes the git repositories of the demo from the folders of examples/demo: TARGET/shop/{api,web,model}.git.

    python demo-sources.py TARGET [--registry HOST:PORT]

Author and date are fixed, so the same sources give the same commits everywhere. Each repository has the branch main
and the tag v1. --registry writes another registry into the Dockerfiles.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

SOURCES = Path(__file__).resolve().parent.parent / "examples" / "demo"
REPOSITORIES = ("api", "model", "web")
REGISTRY = "127.0.0.1:5050"
FIXED = {
    "GIT_AUTHOR_NAME": "Demo",
    "GIT_AUTHOR_EMAIL": "demo@shop.example",
    "GIT_AUTHOR_DATE": "2026-01-01T00:00:00Z",
    "GIT_COMMITTER_NAME": "Demo",
    "GIT_COMMITTER_EMAIL": "demo@shop.example",
    "GIT_COMMITTER_DATE": "2026-01-01T00:00:00Z",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
}


def git(folder: Path, *arguments: str) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")} | FIXED
    subprocess.run(["git", *arguments], cwd=folder, env=environment, check=True)


def write_sources(name: str, folder: Path, registry: str) -> None:
    """A copy of the sources whose modes do not depend on the umask of whoever cloned us."""
    shutil.copytree(SOURCES / name, folder)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            path.chmod(0o755 if path.suffix in {".cgi", ".sh"} else 0o644)
    dockerfile = folder / "Dockerfile"
    dockerfile.write_text(dockerfile.read_text().replace(REGISTRY, registry))


def make_repository(name: str, target: Path, registry: str) -> None:
    bare = target / "shop" / f"{name}.git"
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary) / name
        write_sources(name, work, registry)
        git(work, "init", "--quiet", "--initial-branch=main")
        git(work, "add", "--all")
        git(work, "commit", "--quiet", "--message", f"The {name} of the shop")
        git(work, "tag", "v1")
        git(work, "clone", "--quiet", "--bare", str(work), str(bare))
    git(bare, "remote", "remove", "origin")


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the git repositories of the demo.")
    parser.add_argument("target", type=Path, help="the folder that gets the bare repositories; they must not exist yet")
    parser.add_argument("--registry", default=REGISTRY, help="the registry of the Dockerfiles (default: %(default)s)")
    options = parser.parse_args()
    for name in REPOSITORIES:
        make_repository(name, options.target.resolve(), options.registry)


if __name__ == "__main__":
    main()
