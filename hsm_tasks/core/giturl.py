"""The urls and refs of git that hsm.yaml may name: which are refused, and what they are called.

A url can run a program (`ext::sh -c ...`, an ssh host `-oProxyCommand=...`), and whatever begins with "-" can become an
option. Both are refused before git sees them.
"""

from __future__ import annotations

import re

PROTOCOLS = ("file", "git", "http", "https", "ssh")  # what git may use, in git's own words
_SCHEMES = {*PROTOCOLS, "git+ssh", "ssh+git"}
_SCHEME = re.compile(r"([A-Za-z0-9+.-]*)://")
_HELPER = re.compile(r"[A-Za-z0-9+._-]*::")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_USER = re.compile(r"[^:/]+://([^/]*)@")
_AUTHORITY = re.compile(r"[^/]*@|(\[[0-9A-Fa-f:.%]*\]|[^/:@\[\]]*)(:\d*)?(/|$)")
_SCP = re.compile(r"(?:[^/@:]*@)?([^/:]*):")
_TOKEN_USER = re.compile(
    r"(gh[a-z]_|github_pat_|gl[a-z]{2,5}-|ATBB|ATATT|hf_)|(?=.*\d)(?=.*[A-Za-z])[A-Za-z0-9_-]{20,}$"
)
_TOKEN_QUERY = re.compile(r"[?&][^=&]*(token|passw|secret|key|auth)[^=&]*=", re.IGNORECASE)
_BAD_IN_REF = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(/|$)")

_ELSEWHERE = "leave it out, and let a credential helper of git or an ssh key supply it"


def check_url(url: str) -> str | None:
    """Why this url is refused, or None. The answer never repeats the url: there may be a password in it."""
    if not url.strip():
        return "the url is empty"
    if _CONTROL.search(url):
        return "the url has a control character in it"
    if url.startswith("-"):
        return 'a url may not begin with "-": git would take it for an option'
    if _HELPER.match(url):
        return f'the transport "{url.partition("::")[0]}::" may run programs: use https, ssh, git, http or a path'
    scheme = _SCHEME.match(url)
    if scheme and scheme[1].lower() not in _SCHEMES:
        return f'"{scheme[1]}://" is not a transport that hsm uses: use https, ssh, git, http or a path'
    if _host(url).startswith("-"):
        return 'a host may not begin with "-": ssh would take it for an option'
    return _check_secrets(url)


def _check_secrets(url: str) -> str | None:
    user = _USER.match(url)
    if user and ":" in user[1]:
        return f"there is a password in the url: {_ELSEWHERE}"
    if user and url.lower().startswith("http") and _TOKEN_USER.match(user[1]):
        return f"there is a token in the url: {_ELSEWHERE}"
    rest = url.partition("://")[2]
    if rest and not _AUTHORITY.match(rest):  # `https://user:pass/word@host`: the url ends its host at the first "/"
        return "the url has no host that can be read"
    if _TOKEN_QUERY.search(url):
        return f"there is a token in the url: {_ELSEWHERE}"
    return None


def _host(url: str) -> str:
    if _SCHEME.match(url):
        return url.partition("://")[2].partition("/")[0].rpartition("@")[2]
    scp = _SCP.match(url)
    return scp[1] if scp else ""


def check_ref(ref: str) -> str | None:
    """Why this can not be a branch, a tag or a commit, or None: git's rules (check-ref-format), and no leading "-"."""
    if not ref:
        return "the ref is empty"
    if ref.startswith("-"):
        return f'the ref "{ref}" may not begin with "-": git would take it for an option'
    if bad := _BAD_IN_REF.search(ref):
        return f"a ref may not have {bad[0]!r} in it"
    if ref.startswith(("/", ".")) or ref.endswith(("/", ".")) or ref == "@":
        return f'"{ref}" can not be the name of a branch or a tag'
    return None


def is_relative(url: str) -> bool:
    """Whether it is a path relative to hsm.yaml: no transport, no `host:`, not absolute."""
    return not (url.startswith("/") or _SCHEME.match(url) or ":" in url.partition("/")[0])


def default_name(url: str) -> str:
    """The last part of the url without `.git`, as `git clone` takes it; "" where there is none."""
    path = url.rstrip("/").removesuffix("/.git").rstrip("/")
    name = re.split(r"[/:]", path)[-1].removesuffix(".git")
    return "" if name in (".", "..") else name
