"""The kinds of mistakes and failures that a user can meet: a code each, and how their messages are told apart.

A code is for ever: what is gone keeps its number, new kinds get new ones. The messages are written where they are
raised, so a kind is known by its words; a test sees to it that every message has a code, and every code a section in
errors.md.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple


class Kind(NamedTuple):
    """`title` is for lists, `words` find the messages: the first kind in the table that has a match."""

    title: str
    words: str

    def matches(self, message: str) -> bool:
        """Compiled when the first message is shown: most runs show none."""
        return re.search(self.words, message) is not None


def _kind(title: str, *patterns: str) -> Kind:
    return Kind(title, "|".join(patterns))


CODES: Final[dict[str, Kind]] = {
    # the command line and the workspace
    "H001": _kind(
        "a word that hsm does not know",
        r'^there is no "(?!.*" in)',
        r'" says nothing to hsm',
        r" does not know ",
        r"neither \"yes\" nor \"no\"",
        r"lists the options",
        "there is no completion",
        "stands alone",
        "does not go with",
        "^update --json prints",
        r"needs a value",
        r"(is|are) for deploy",
    ),
    "H002": _kind("a word that needs a name", r'^"\S+" needs a (name|shell)', "names nothing after the colon"),
    "H003": _kind("no stack, or several", r"^no \S+ here", r"^which stack\?", "^(HSM_STACK: )?there is no stack"),
    "H004": _kind(
        "init has no place for a stack here",
        "is there already$",
        "lies in the workspace",
        "root of a workspace",
        "^there is no compose file here",
        r"^which compose files\?",
    ),
    "H005": _kind(
        "a switch of what can not be switched",
        "so it has no modes",
        "has always one option selected",
        "does not hold after the words",
        "is an option that is not selected",
    ),
    "H006": _kind(
        "a mistake in dodo.py",
        r"^dodo\.py (stops here|ends the program)",
        r"^the task function \S+ stops here",
        "^this is no task",
        "has a word of hsm as its name",
        "^two functions make the task",
        "^a task can not need",
        "^the task needs what is not there",
        "^no task of hsm can be made late",
        "^hsm can not follow this key of doit",
        "^DOIT_CONFIG must be",
        "^the stack is read after dodo",
    ),
    "H007": _kind(
        "a task of your own failed",
        "^it raised ",
        "^Command (failed|error)",
        "^Python Task",
        "its uptodate raised",
        "can not be remembered",
    ),
    # the text of hsm.yaml, hsm.local.yaml, hsm.lock and the settings
    "H101": _kind(
        "not YAML, or not TOML",
        "^not YAML",
        "^not TOML",
        "is longer than",
        "conflict that git left",
        "second document",
        "has no anchor",
        "<< takes",
        "means nothing here",
        "circle of includes",
        "includes itself",
        "may not stand in a YAML file",
    ),
    "H102": _kind("the same key twice", "the key is there already"),
    "H103": _kind("an unknown key", "unknown key", "compose knows no such key"),
    "H104": _kind("a key in the wrong place", "the key has no meaning here"),
    "H105": _kind(
        "hsm.local.yaml may not set this",
        "hsm.local.yaml may not set",
        "hsm.yaml has no such group",
        "names no repository for this service",
        "can not be changed without",
        "^what is there is not a mapping",
    ),
    "H106": _kind(
        "a value of the wrong kind",
        "^must be ",
        "is not a (mode|strategy)",
        "is not right here",
        "is not (a whole number|a number|true or false)$",
        "a key must be text",
        "is not one of",
        "must be text",
    ),
    "H107": _kind(
        "a name that is no name",
        "is not a name ",
        "compose does not take such a name",
        "is not the name of",
        "no name for a folder",
    ),
    "H108": _kind(
        "an included or named file is not there",
        "^there is no file",
        "names no file",
        r"not an absolute path",
        "^the path is empty",
    ),
    "H109": _kind(
        "a setting that is wrong",
        "is not a number of jobs",
        "is not a path$",
        "^there is no target",
        "does not lie inside the workspace",
        "keeps for itself",
        "folder of their own",
        "^(?!the registry).* is not a host",
        "is not a registry",
        "not an http or https url",
        "^HSM_RUN_LOG",
        "^target ",
        "^deploy to where",
        "user or a password in the url",
    ),
    "H110": _kind("hsm.lock can not be read", "a lock begins with", "written by a newer hsm"),
    # what hsm.yaml says of services
    "H201": _kind("a service that nobody has", "have no service", r"is no \S+ of this stack"),
    "H202": _kind("a service that can only be prod", "with neither repo nor build"),
    "H203": _kind("prod without an image", "^prod needs an image"),
    "H204": _kind(
        "an image reference that is none",
        "the image reference",
        "is not a tag",
        "^the (name|tag|digest|registry) ",
        "is no image reference",
        "is the id of an image",
        "the image name",
    ),
    "H205": _kind(
        "a version that does not fit",
        "stands beside",
        "a version stands beside",
        "is not a range",
        "more than one variant",
        "no tag of .* in the range",
    ),
    "H206": _kind(
        "a limit that is none", "is not an amount of memory", "is not a number of (processors|processes|containers)"
    ),
    "H207": _kind(
        "a url that is refused",
        "^the url",
        "^a url may not",
        "the transport ",
        "is not a transport",
        "^a host may not",
        "(password|token) in the url",
    ),
    "H208": _kind(
        "a ref that is none", "^the ref", "^a ref may not", "can not be the name of a branch", "is not asked for"
    ),
    "H209": _kind(
        "one checkout for two repositories",
        "the checkout .* (is also|holds another)",
        "is also the project of stack",
    ),
    "H210": _kind(
        "a mount of what is not there",
        "mounts what is not there",
        "the context .* is not there",
        "it is a link out of them",
    ),
    # groups
    "H301": _kind(
        "a group that is not complete",
        "strategy is missing",
        "either options or profiles",
        "there are no .* to choose from",
    ),
    "H302": _kind(
        "a selection that does not fit", "is not an option of this group", "exactly one option", "stands there twice"
    ),
    "H303": _kind(
        "an alias with two owners, or none",
        "an alias needs",
        "is the name of a service",
        "is the alias of the group",
        "belongs to the group",
        "can not answer to",
    ),
    "H304": _kind("a service that can not do without an option", "can not run without", "for which it answers itself"),
    # git
    "H401": _kind(
        "a server of git says no",
        "has no branch, tag or commit",
        "it is empty$",
        "no default branch",
        "^git is not on",
        "^can not (fetch|clone|read the checkout|ask) ",
        "^git can not go on",
        "is in no git repository",
        "has no more the commit",
    ),
    "H402": _kind(
        "work, or something else, is in the way",
        "is in the way",
        "is a checkout of",
        "not at the locked commit",
        "is there already, and it is not empty",
        "is a link to where no checkout is",
        "is not a checkout of git",
        "can not be made",
    ),
    "H403": _kind("a checkout of my own is not there", r"^\S+ is not there$"),
    # registries
    "H501": _kind(
        "a registry has no such image", "has no .*: ", "has no \\S+, or it is private", "is only in this engine"
    ),
    "H502": _kind("a registry gives no access", "gives no (token|access)", "redirects a login"),
    "H503": _kind(
        "a registry can not be asked",
        "could not be asked",
        "failed when asked",
        "asked too often",
        "too slowly",
        "sends more than",
        "redirects in a circle",
        "not https",
    ),
    "H504": _kind(
        "a registry answers what it should not",
        "sent something else",
        "format that is too old",
        "is it a registry",
        "cannot be a tag",
        "come to an end with the tags",
        "continues its tags",
        "names no image for",
    ),
    # compose and the engine
    "H601": _kind(
        "a program is missing or too old",
        "hsm needs .* or newer",
        "docker compose does not answer",
        "can not be started",
        "is not installed",
    ),
    "H602": _kind(
        "compose can not read the base",
        "can not read the base",
        "can not fill in",
        "no compose file",
        "no such compose file",
        "can not follow",
        "from afar",
        "compose can not read this",
        "lies in a checkout",
        "no such folder",
    ),
    "H603": _kind(
        "compose refuses what hsm made",
        "compose refuses",
        "does not accept base and override",
        "compose can not (say|put|resolve)",
    ),
    "H604": _kind(
        "the engine does not answer", "the docker engine", "an engine that may have it", "^you may not talk to"
    ),
    "H605": _kind(
        "a build, a start or a stop failed",
        "docker compose \\w+ failed",
        "could not stop the stack",
        "was started with the others",
        "^a command failed",
    ),
    "H606": _kind("a container does not get well", "its container ", "^not well after"),
    # files and state
    "H701": _kind(
        "a file can not be read or written",
        "can not be (read|written|watched)",
        "is not text in UTF-8",
        "cannot keep the state",
        "does not exist$",
        "is neither a file nor a folder",
        "is a link, and hsm keeps",
        "is a link to .*, and hsm writes nothing outside",
        "no picture that `graph` has drawn",
        "is a pipe or a device",
        "was edited at this very moment",
    ),
    "H702": _kind("a frozen hsm.lock would change", "hsm.lock would change", "frozen sync refuses"),
    # elsewhere
    "H801": _kind("a stack that can not be bundled", "can not be bundled", "it is no bundle", "does not travel"),
    "H802": _kind(
        "a target that can not be used",
        "the target ",
        "a folder of this machine",
        "leads to",
        r"\bswarm\b",
        "nobody reaches",
        "nothing to go back to",
        "failed on",
        "does not come back",
        "rolled back",
        "nothing ran there",
        "compose can not read the bundle",
        "a container does not stop",
    ),
}


def of(message: str) -> str | None:
    """The code of a message, its place and its key left out; None for what is no kind of its own."""
    first = message.partition("\n")[0]
    return next((code for code, kind in CODES.items() if kind.matches(first)), None)


_PLACE: Final = re.compile(r"(?:\S+?:\d+:\d+: )(?:(?:[^\s:\"]|\"[^\"]*\")+: )?")


def mentioned(text: str) -> tuple[str, ...]:
    """The codes of all messages of a text, as it is shown: each begins a line, hints and quotes are indented."""
    lines = (_PLACE.sub("", line, count=1) for line in text.splitlines() if line[:1].strip())
    return tuple(dict.fromkeys(code for line in lines if (code := of(line))))
