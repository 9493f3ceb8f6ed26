"""Everything that can go wrong and that a user can mend.

HsmError
├── ConfigError      the words of the user are wrong: hsm.yaml, settings, command line (exit 3)
├── CommandFailed    a program that we called said no
├── RegistryError    a registry said no, or could not be asked
│   └── ImageNotFound
├── GitError         git, or the server behind it, said no
└── Kept             there is work in the way, and we do not touch it
"""

from __future__ import annotations

import errno
import re
from dataclasses import dataclass, field


class HsmError(Exception):
    """What went wrong in one sentence, and apart from it what to do about it."""

    untouched = False
    """Whether what the step leaves is as it was before: then what is recorded of it still holds."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  hint: {self.hint}" if self.hint else self.message


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One mistake in a file. `path` is the key path (`services.api.mode`), line and column count from 1."""

    file: str
    line: int
    column: int
    path: str
    message: str
    hint: str = field(default="", compare=False)

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}: " if self.line else f"{self.file}: " if self.file else ""
        where = f"{self.path}: " if self.path else ""
        text = f"{place}{where}{self.message}"
        return f"{text}\n  hint: {self.hint}" if self.hint else text


class ConfigError(HsmError):
    """All the mistakes that were found, in the order of their places."""

    def __init__(self, *problems: Problem) -> None:
        self.problems = tuple(sorted(set(problems)))
        super().__init__("\n".join(str(problem) for problem in self.problems))


def mistake(message: str, hint: str = "") -> ConfigError:
    """A mistake that has no place in a file: on the command line, in the environment."""
    return ConfigError(Problem("", 0, 0, "", message, hint))


_DISK = frozenset({
    *(errno.EACCES, errno.EDQUOT, errno.EEXIST, errno.EFBIG, errno.EINVAL, errno.EIO, errno.EISDIR, errno.ELOOP),
    *(errno.EMFILE, errno.ENAMETOOLONG, errno.ENFILE, errno.ENOSPC, errno.ENOTDIR, errno.ENOTEMPTY, errno.EPERM),
    *(errno.EROFS, errno.ETXTBSY),
})  # fmt: skip


def known(error: BaseException) -> BaseException:
    """The same error; an HsmError where the disk refuses, for that is no bug."""
    if isinstance(error, RuntimeError) and str(error).startswith("Symlink loop"):  # of Path.resolve
        return HsmError(f"a link can not be read: {error}", "it leads back to itself: remove it")
    if isinstance(error, OSError) and error.errno in _DISK:
        message = f"{error.filename or 'a file'} can not be written or read: {error.strerror}"
        return HsmError(message, "is there space, may you write there, and is nothing else in its place?")
    return error


class CommandFailed(HsmError):  # noqa: N818 - it is what happened
    """A program ended with another code than 0. `said` is all that it wrote on stderr, secrets masked."""

    def __init__(self, argv: tuple[str, ...], code: int, said: str, explanation: str = "", hint: str = "") -> None:
        self.argv, self.code, self.said = argv, code, mask(said.rstrip())
        command = mask(" ".join(argv))
        lines = [explanation or "a command failed", f"  $ {command}  (exit {code})"]
        lines += [f"  | {line}" for line in self.said.splitlines()]
        super().__init__("\n".join(lines), hint)


class RegistryError(HsmError):
    """A registry refused, or could not be reached."""


class ImageNotFound(RegistryError):  # noqa: N818 - the registry answered: it has no such image
    """The registry answered, and it has no such repository, tag or digest."""


class GitError(HsmError):
    """git failed; the message has its own words, secrets masked."""


class Along(HsmError):  # noqa: N818 - it is what happened
    """What fails only because another step has: that one has told why, and once is enough."""


class Kept(HsmError):  # noqa: N818 - nothing went wrong: work of the user is in the way
    """A checkout holds work, so it stays as it is."""


_USERINFO = re.compile(r"//[^/\s'\"]+@")
_REPEATED = re.compile(r"(unterminated quoted value |unexpected character .* in variable name ).*")
"""What compose says of a line in an env file that it can not read: it repeats the line."""


def mask(text: str, secrets: tuple[str, ...] = ()) -> str:
    """The text without the user part of urls, the lines of env files, and the given secrets (longest first)."""
    for secret in sorted((s for s in secrets if len(s) > 3), key=len, reverse=True):
        text = text.replace(secret, "***")
    return _REPEATED.sub(r"\1***", _USERINFO.sub("//***@", text))
