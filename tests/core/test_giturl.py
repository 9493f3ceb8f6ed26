from __future__ import annotations

import pytest

from hsm_tasks.core.giturl import check_ref, check_url, default_name, is_relative


@pytest.mark.parametrize(
    "url",
    [
        "https://git.example/acme/api.git",
        "https://ada@git.example:8443/acme/api.git",
        "HTTPS://git.example/a",
        "ssh://git@git.example:22/~/a.git",
        "git+ssh://git@git.example/a.git",
        "git://git.example/a",
        "http://[::1]:3000/a.git",
        "git@git.example:acme/api.git",
        "git.example:acme/api.git",
        "file:///srv/git/a.git",
        "/srv/git/a b.git",
        "../api",
        "https://git.example/a@b/c.git",
        "ssh://ghp@git.example/a.git",
    ],
)
def test_urls_that_people_use_are_fine(url: str) -> None:
    assert check_url(url) is None


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("", "empty"),
        ("  ", "empty"),
        ("--upload-pack=touch x", '"-"'),
        ("-u", '"-"'),
        ("ext::sh -c touch% x", "ext::"),
        ("EXT::sh", "EXT::"),
        ("fd::17/foo", "fd::"),
        ("my-helper::https://x/y", "my-helper::"),
        ("ext://sh", "ext://"),
        ("ftp://git.example/a", "ftp://"),
        ("https://git.example/a\nb", "control"),
        ("https://git.example/a\0", "control"),
        ("ssh://-oProxyCommand=touch/x", "host"),
        ("ssh://git@-oProxyCommand=touch/x", "host"),
        ("git@-oProxyCommand=x:y", "host"),
        ("git://-x/y", "host"),
        ("https://ada:pass@git.example/a", "password"),
        ("ssh://ada:pass@git.example/a", "password"),
        ("https://ada:p@ss@git.example/a", "password"),
        ("https://:pass@git.example/a", "password"),
        ("https://ghp_abcdef123@git.example/a", "token"),
        ("https://github_pat_11AAA@git.example/a", "token"),
        ("https://glpat-abcdef@git.example/a", "token"),
        ("https://a8f5f167f44f4964e6c998dee827110c@git.example/a", "token"),
        ("https://git.example/a?private_token=abc", "token"),
        ("https://git.example/a?x=1&access-token=abc", "token"),
        ("https://ada:pa/ss@git.example/a", "no host"),
    ],
)
def test_urls_that_run_programs_or_hold_secrets_are_refused(url: str, word: str) -> None:
    answer = check_url(url)
    assert answer is not None
    assert word in answer


def test_a_refusal_never_repeats_the_secret() -> None:
    for url in (
        "https://ada:hunter2@h/a",
        "https://ghp_hunter2@h/a",
        "https://h/a?token=hunter2",
        "http://a:hunter2/b@h",
    ):
        assert "hunter2" not in str(check_url(url))


@pytest.mark.parametrize(
    "ref", ["main", "HEAD", "v1.2.3", "feature/x-1", "0123456", "a" * 40, "refs/heads/main", "ünï"]
)
def test_refs_that_people_use_are_fine(ref: str) -> None:
    assert check_ref(ref) is None


@pytest.mark.parametrize(
    "ref",
    ["", "-q", "--help", "a..b", "a@{1}", "a b", "a\nb", "a:b", "a~1", "a^", "a?", "a*", "a[b", "a\\b", "@"],
)
def test_refs_that_are_none_or_options_are_refused(ref: str) -> None:
    assert check_ref(ref)


@pytest.mark.parametrize("ref", ["/a", "a/", "a//b", ".a", "a/.b", "a.lock", "a.lock/b", "a."])
def test_refs_that_git_itself_refuses_are_refused(ref: str) -> None:
    assert check_ref(ref)


@pytest.mark.parametrize("url", [".", "..", "./api", "../api.git", "repos/api.git", ".hidden/api"])
def test_a_path_without_a_transport_is_relative(url: str) -> None:
    assert is_relative(url)


@pytest.mark.parametrize("url", ["/srv/a", "https://h/a", "file:///a", "git@h:a", "h:a/b"])
def test_an_absolute_path_and_a_server_are_not_relative(url: str) -> None:
    assert not is_relative(url)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://git.example/acme/api.git", "api"),
        ("https://git.example/acme/api/", "api"),
        ("git@git.example:a/b.git", "b"),
        ("git.example:b.git", "b"),
        ("../api", "api"),
        ("/srv/api/.git", "api"),
        ("..", ""),
        ("./", ""),
    ],
)
def test_the_name_is_the_last_part_of_the_url(url: str, name: str) -> None:
    assert default_name(url) == name
