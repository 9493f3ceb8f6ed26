"""Where a branch, a tag or a commit is: in a checkout as of its last fetch, and on a server now."""

from __future__ import annotations

import difflib
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path

import msgspec

from hsm_tasks.core.errors import GitError
from hsm_tasks.core.giturl import check_ref, check_url
from hsm_tasks.effects.gitcall import Progress, ask, environment, quiet, refusal, scrub, stall_limit, talk
from hsm_tasks.effects.gitlocal import origin
from hsm_tasks.effects.process import Done

_FULL = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_SHORT = re.compile(r"[0-9a-f]{4,64}")
_MISSING = re.compile(r"couldn't find remote ref|not our ref|unadvertised object|no such remote ref", re.IGNORECASE)


class Place(msgspec.Struct, frozen=True):
    """Where a declared ref points; `branch` only if it is one."""

    branch: str | None
    commit: str


class Server(msgspec.Struct, frozen=True):
    """A repository of a server, whose url has been looked at."""

    url: str
    stall: float
    progress: Progress = quiet

    def call(self, *arguments: str, at: Path | None = None, submodules: bool = False) -> Done:
        """Let git talk to the server, in the checkout `at` if one is named."""
        env = environment(at, stall=self.stall, submodules=submodules)
        where = ("-C", str(at)) if at else ()
        return talk((*where, *arguments), env, progress=self.progress, limit=self.stall)


def ask_server(server: Server, ref: str) -> str:
    """The commit of a ref, from the server's list of refs."""
    if _FULL.fullmatch(ref):
        return ref
    wanted = [ref] if ref == "HEAD" or ref.startswith("refs/") else [f"refs/heads/{ref}", f"refs/tags/{ref}"]
    found = _list(server, *wanted, *(f"{name}^{{}}" for name in wanted))
    for name in wanted:
        if commit := found.get(f"{name}^{{}}") or found.get(name):
            return commit
    if _SHORT.fullmatch(ref):
        return _abbreviated(server, ref)
    raise _no_such_ref(server, ref, _list(server))


def _list(server: Server, *patterns: str) -> dict[str, str]:
    arguments = ("ls-remote", "--", server.url, *patterns)
    done = server.call(*arguments)
    if done.code:
        raise refusal(arguments, done, f"can not ask {scrub(server.url)}")
    lines = (line.split("\t") for line in done.out.splitlines())
    return {name: commit for commit, name in lines}


def _abbreviated(server: Server, ref: str) -> str:
    """A server lists refs only: for a shortened commit we need the history, though not the files."""
    with tempfile.TemporaryDirectory() as folder:
        bare = Path(folder) / "bare.git"
        arguments = ("clone", "--bare", "--filter=tree:0", "--", server.url, str(bare))
        done = server.call(*arguments)
        if done.code:
            raise refusal(arguments, done, f"can not ask {scrub(server.url)}")
        found = ask("--git-dir=.", "rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}", at=bare)
    if found.code:
        raise _no_such_ref(server, ref, _list(server))
    return found.out.strip()


def locked_commit(directory: Path, server: Server, ref: str, commit: str) -> str:
    """The full name of a locked commit, fetched by itself if no branch has it any more and the server still does."""
    found = commit_of(directory, commit)
    if not found and _FULL.fullmatch(commit) and _fetch(directory, server, commit, f"refs/hsm/commits/{commit}"):
        found = commit_of(directory, commit)
    if not found:
        message = f"{scrub(server.url)} has no more the commit {commit[:12]} that hsm.lock names for {ref}"
        raise GitError(message, "`hsm update` moves the lock to what is there now")
    return found


def newest(directory: Path, server: Server, ref: str) -> Place:
    """Where the server has a ref now, fetched into the checkout, in which nothing moves."""
    place = _fetch_ref(directory, server, ref)
    if place is None:
        raise _no_such_ref(server, ref, _names(directory))
    return place


def _fetch_ref(directory: Path, server: Server, ref: str) -> Place | None:
    """Fetch what the server has under `ref` now; None where it has no such ref."""
    if _FULL.fullmatch(ref):
        here = commit_of(directory, ref) or _fetch(directory, server, ref, f"refs/hsm/commits/{ref}")
        return Place(None, ref) if here else None
    heads = "refs/remotes/origin/" if origin(directory) == server.url else "refs/hsm/heads/"
    if ref == "HEAD":
        ref = _default_branch(server)
    for source, store in _sources(directory, ref, heads):
        if _fetch(directory, server, source, store) and (commit := commit_of(directory, store)):
            branch = source.removeprefix("refs/heads/")
            return Place(branch if branch != source else None, commit)
    if _SHORT.fullmatch(ref) and _fetch(directory, server, "refs/heads/*", f"{heads}*"):
        there = commit_of(directory, ref)
        return Place(None, there) if there else None
    return None


def _sources(directory: Path, ref: str, heads: str) -> list[tuple[str, str]]:
    """Where a ref may be on the server, and where it is kept here; likeliest first, since each try is a round trip."""
    if ref == "HEAD":
        return [("HEAD", "refs/hsm/HEAD")]
    if ref.startswith("refs/") and not ref.startswith("refs/heads/"):
        return [(ref, ref.replace("refs/", "refs/hsm/", 1))]
    name = ref.removeprefix("refs/heads/")
    branch, tag = (f"refs/heads/{name}", f"{heads}{name}"), (f"refs/tags/{name}", f"refs/hsm/tags/{name}")
    if name != ref:
        return [branch]
    likely = commit_of(directory, f"refs/tags/{name}") and not commit_of(directory, branch[1])
    return [tag, branch] if likely else [branch, tag]


def _fetch(directory: Path, server: Server, source: str, store: str) -> bool:
    remote = "origin" if origin(directory) == server.url else server.url
    options = ("--progress", "--no-tags", "--no-recurse-submodules")
    arguments = ("fetch", *options, "--", remote, f"+{source}:{store}")
    done = server.call(*arguments, at=directory)
    if done.code and not _MISSING.search(done.err):
        raise refusal(arguments, done, f"can not fetch {source} from {scrub(server.url)}")
    return done.code == 0


def _default_branch(server: Server) -> str:
    """The full name of the server's default branch; "HEAD" where HEAD is on none."""
    arguments = ("ls-remote", "--symref", "--", server.url, "HEAD")
    done = server.call(*arguments)
    if done.code:
        raise refusal(arguments, done, f"can not ask {scrub(server.url)}")
    found = re.search(r"^ref: (refs/heads/.*)\tHEAD$", done.out, re.MULTILINE)
    return found[1] if found else "HEAD"


def known(directory: Path, ref: str) -> Place | None:
    """What a ref is as of the last fetch: a branch of origin first, as in git clone, then a tag, then a commit."""
    branch = symbolic(directory, "refs/remotes/origin/HEAD") if ref == "HEAD" else ref.removeprefix("refs/heads/")
    if branch and (commit := commit_of(directory, f"refs/remotes/origin/{branch}")):
        return Place(branch, commit)
    if ref == "HEAD":
        return None
    tags = (ref,) if ref.startswith("refs/") else (f"refs/tags/{ref}", f"refs/hsm/tags/{ref}")
    names = (*tags, ref) if _SHORT.fullmatch(ref) else tags
    commit = next((commit for name in names if (commit := commit_of(directory, name))), None)
    return Place(None, commit) if commit else None


def just_cloned(directory: Path, ref: str) -> tuple[str | None, Place | None]:
    """(the branch that HEAD names, where a branch of the server is), from the files of a clone that git has just made:
    there all refs of the server are packed. What these files do not say is None; then git is to be asked."""
    try:
        head = (directory / ".git" / "HEAD").read_text(encoding="utf-8")
        packed = (directory / ".git" / "packed-refs").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None, None
    branch = ref.removeprefix("refs/heads/")
    found = re.search(rf"^([0-9a-f]{{40,64}}) refs/remotes/origin/{re.escape(branch)}$", packed, re.MULTILINE)
    first = re.fullmatch(r"ref: refs/heads/(\S+)\n", head)
    return first[1] if first else None, Place(branch, found[1]) if found and ref != "HEAD" else None


def commit_of(directory: Path, name: str = "HEAD") -> str | None:
    """The full commit that a name means in this checkout."""
    done = ask("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}", at=directory)
    return None if done.code else done.out.strip()


def symbolic(directory: Path, name: str) -> str | None:
    """The branch that a symbolic ref names."""
    done = ask("symbolic-ref", "--quiet", name, at=directory)
    return None if done.code else re.sub(r"^refs/(heads|remotes/origin)/", "", done.out.strip())


def held(directory: Path) -> bool:
    """Whether some ref has the commit that HEAD is at."""
    return bool(ask("for-each-ref", "--contains", "HEAD", "--count=1", "--format=held", at=directory).out)


def server(
    url: str, ref: str, commit: str | None = None, progress: Progress = quiet, stall: float | None = None
) -> Server:
    """The server behind a url; GitError where the url, the ref or the locked commit is not fit to be given to git."""
    refused = check_url(url) or check_ref(ref)
    if commit is not None and not _SHORT.fullmatch(commit) and not _FULL.fullmatch(commit):
        refused = f'"{scrub(commit)}" is not a commit'
    if refused:
        raise GitError(f"git is not asked for {ref!r} of {scrub(url)!r}: {refused}")
    return Server(url, stall_limit() if stall is None else stall, progress)


def _names(directory: Path) -> list[str]:
    """The branches and tags that a checkout knows of, as full names."""
    return ask("for-each-ref", "--format=%(refname)", "refs/remotes/origin", "refs/tags", at=directory).out.split()


def _no_such_ref(server: Server, ref: str, there: Iterable[str]) -> GitError:
    """The error that names what is there instead; `there` are full names of refs."""
    known = sorted({re.sub(r"^refs/(heads|tags|remotes/origin)/|\^\{\}$", "", name) for name in there} - {"HEAD"})
    if not known:
        return GitError(f'{scrub(server.url)} has no "{ref}": it is empty', "push a first commit to it")
    if ref == "HEAD":
        return GitError(f"{scrub(server.url)} has no default branch", f"name a ref: it has {', '.join(known[:8])}")
    near = difflib.get_close_matches(ref, known, 1)
    hint = f'did you mean "{near[0]}"?' if near else f"it has {', '.join(known[:8])}{', ...' * (len(known) > 8)}"
    return GitError(f'{scrub(server.url)} has no branch, tag or commit "{ref}"', hint)
