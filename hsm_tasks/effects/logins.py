"""Who asks a registry: the logins of docker's config, and what registries want to see of them.

A login goes to the host that it is for, and to the token server that this host names, if that has TLS (or is on this
machine). A helper that is missing or broken costs a warning, not the public images.
"""

from __future__ import annotations

import os
import re
import shutil
from base64 import b64encode
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

import msgspec

from hsm_tasks.core.errors import RegistryError
from hsm_tasks.core.reference import HUB
from hsm_tasks.effects.web import Answer, Memo, Request, Web, whole

if TYPE_CHECKING:
    from docker.auth import AuthConfig

_BEARER = re.compile(r"(?:^|,)\s*bearer\s+(.*)", re.IGNORECASE)
_BASIC = re.compile(r"(?:^|,)\s*basic\b", re.IGNORECASE)


class Place(msgspec.Struct, frozen=True):
    """Where the questions about an image go. `name` and `image` are for people; `host` is what a login is for."""

    name: str
    image: str
    host: str
    base: str
    repository: str

    @property
    def key(self) -> tuple[str, str]:
        """Equal where the questions are the same, however the image was written."""
        return self.base, self.repository

    def url(self, what: str) -> str:
        """`what` as in "manifests/1.4"."""
        return f"{self.base}/v2/{self.repository}/{what}"


class Login(msgspec.Struct, frozen=True):
    """A name with a password, or an identity token (then both are empty)."""

    user: str = ""
    password: str = ""
    identity: str = ""

    @property
    def basic(self) -> str:
        """The value of an Authorization header."""
        return "Basic " + b64encode(f"{self.user}:{self.password}".encode()).decode()


class Logins:
    """Asks with the login that a place wants. `warn` hears once of each thing that is wrong with docker's config."""

    def __init__(self, web: Web, warn: Callable[[str], None]) -> None:
        self._web, self._warn = web, warn
        self._memo = Memo()
        self._authorizations: dict[tuple[str, str], str] = {}  # Place.key → header

    def ask(self, place: Place, request: Request) -> Answer:
        """Without a login first, as docker does; a token that has run out is asked for anew."""
        answer = self._web.exchange(place.name, request.signed(self._authorizations.get(place.key)))
        challenge = answer.headers.get("WWW-Authenticate")
        if answer.status == 401 and challenge and (header := self._authorization(place, challenge)):
            self._authorizations[place.key] = header
            answer = self._web.exchange(place.name, request.signed(header))
        return answer

    def hint(self, host: str) -> str:
        """What may help where a registry says no."""
        command = "docker login" if host == HUB else f"docker login {host}"
        if self._login(host):
            return f"docker's login for {host} is wrong or may not read this: `{command}` renews it"
        return f"if the image is private, `{command}`; if it is not, its name may be wrong"

    def _authorization(self, place: Place, challenge: str) -> str | None:
        """The header that answers a challenge; None if there is no login to answer it with."""
        whole("requests")
        from requests.utils import parse_dict_header

        if bearer := _BEARER.search(challenge):
            fields = parse_dict_header(bearer[1])  # type: ignore[no-untyped-call]
            return "Bearer " + self._token(place, fields)
        login = self._login(place.host)
        return login.basic if login and login.user and _BASIC.search(challenge) else None

    def _token(self, place: Place, fields: Mapping[str, str | None]) -> str:
        realm = self._web.follow(place.name, place.base, fields.get("realm") or "")
        # a scope of our own: whatever the registry would like, we only read
        query = {"service": fields.get("service") or "", "scope": f"repository:{place.repository}:pull"}
        login, limit = self._login(place.host), self._web.bounds.manifest
        if login and login.identity:
            form = {"grant_type": "refresh_token", "refresh_token": login.identity, "client_id": "hsm", **query}
            request = Request("POST", realm, limit, {}, form)
        else:
            url = realm + ("&" if urlsplit(realm).query else "?") + urlencode(query)
            request = Request("GET", url, limit, {}).signed(login.basic if login else None)
        answer = self._web.exchange(f"the token server of {place.name}", request)
        token = answer.data.get("token") or answer.data.get("access_token")
        if answer.status != 200 or not isinstance(token, str):
            said = self._web.said(answer)
            raise RegistryError(f"{place.name} gives no token for {place.image}: {said}", self.hint(place.host))
        self._web.secrets.append(token)
        return token

    def _login(self, host: str) -> Login | None:
        return self._memo.once(host, lambda: self._find(host))

    def _find(self, host: str) -> Login | None:
        whole("docker")
        from docker.errors import DockerException

        try:
            config = self._memo.once("config", _docker_config)
            found = self._without_missing_helper(config, host).resolve_authconfig(None if host == HUB else host) or {}
        except (DockerException, ValueError, LookupError, TypeError, AttributeError, OSError) as error:
            self._warn_once(f"docker's config gives no login for {host}: {self._web.clean(str(error))}")
            return None
        user, password = (str(found.get(key) or found.get(key.lower()) or "") for key in ("Username", "Password"))
        identity = str(found.get("IdentityToken") or "")
        if not (identity or user):
            return None
        login = Login(user, password, identity)
        self._web.secrets += [password, identity, login.basic.removeprefix("Basic ")]
        return login

    def _without_missing_helper(self, config: AuthConfig, host: str) -> AuthConfig:
        """docker's config often names a helper that is not there (WSL, a copied home): its plain logins still count."""
        whole("docker")
        from docker.auth import AuthConfig

        helper = config.get_credential_store(None if host == HUB else host)
        if not helper or shutil.which(f"docker-credential-{helper}"):
            return config
        self._warn_once(f"docker's config names the helper docker-credential-{helper}, which is not there")
        return AuthConfig({"auths": config.auths})

    def _warn_once(self, text: str) -> None:
        self._memo.once(("warning", text), lambda: self._warn(text))


def _docker_config() -> AuthConfig:
    whole("docker")
    from docker.auth import AuthConfig, load_config

    folder = os.environ.get("DOCKER_CONFIG")
    if folder and not Path(folder, "config.json").exists():
        return AuthConfig({})  # as docker itself: then there are no logins, and ~/.docker is another config
    return load_config()
