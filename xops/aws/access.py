"""How AWS is reached for an environment's target, for boto3 and for Terraform alike."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

import boto3
import botocore.session
from botocore.config import Config

from xops.aws.embedded_key import EmbeddedKey, load_or_create_embedded_key
from xops.aws.errors import translate_aws_errors
from xops.aws.target import Target
from xops.core.errors import Finding, InputError

EMBEDDED_ENDPOINT = "http://127.0.0.1:4577"
LOCALSTACK_ENDPOINT = "http://127.0.0.1:4566"
ENDPOINT_VARIABLE = "XOPS_AWS_ENDPOINT"

# LocalStack checks no signature, but every client insists on having something to sign with.
_LOCALSTACK_KEY = EmbeddedKey("emulator", "emulator")

# The credential chain of the AWS tools: what a person or a task role sets is handed on.
_CREDENTIAL_VARIABLES = (
    "AWS_PROFILE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME",
    "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "AWS_CA_BUNDLE",
)  # fmt: skip

_CONFIGURATION_FILES = {
    "AWS_CONFIG_FILE": "config_file",
    "AWS_SHARED_CREDENTIALS_FILE": "credentials_file",
}

# An emulator has credentials of its own: a profile that the shell names is not looked for.
_WITHOUT_PROFILE = {"profile": (None, None, None, None)}


def endpoint(target: Target, environ: Mapping[str, str]) -> str | None:
    """Where the target's API is; None means AWS's own endpoints.

    Raises:
        InputError: the variable names no address of an emulator.
    """
    if target is Target.AWS:
        return None
    default = EMBEDDED_ENDPOINT if target is Target.EMBEDDED else LOCALSTACK_ENDPOINT
    given = environ.get(ENDPOINT_VARIABLE, default)
    if not _is_address(given):
        finding = Finding(f"variable {ENDPOINT_VARIABLE}", "", f"{given!r} is no http:// address")
        raise InputError("reading the environment variables", [finding])
    return given


def _is_address(given: str) -> bool:
    try:
        parsed = urlsplit(given)
        return parsed.scheme in ("http", "https") and bool(parsed.hostname) and parsed.port != 0
    except ValueError:  # a port that is none, a bracket too many
        return False


@dataclass(frozen=True)
class Aws:
    """Access to one region of one target.

    One session serves all clients, and each client is made once: they are safe in threads, and
    botocore renews an assumed role by itself before it ends.

    Attributes:
        target: embedded, localstack or aws.
        region: for example ap-southeast-2.
        environ: where credentials and the endpoint are looked up.
        follows_endpoints: whether an endpoint that a variable or a profile names is followed on
            AWS: right for a bucket, which may be in another store that speaks S3, and wrong where
            Terraform must go to the same place.
    """

    target: Target
    region: str
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ), repr=False)
    follows_endpoints: bool = False

    _clients: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)
    _lock: threading.Lock = field(
        default_factory=threading.Lock, init=False, repr=False, compare=False
    )

    def client(self, service: str) -> Any:
        """The boto3 client of a service, for example `ecs`.

        Raises:
            CredentialsError: the profile that is named does not exist, or names no credentials.
        """
        with self._lock:  # a session is not safe in threads, other than its clients
            if service not in self._clients:
                with translate_aws_errors(f"preparing to ask {service} of {self.target}"):
                    self._clients[service] = self._create_client(service)
            return self._clients[service]

    def _create_client(self, service: str) -> Any:
        credentials = {name.lower(): value for name, value in self._emulator_key().items()}
        # An emulator on this machine does not throttle: where it does not answer, say so at once.
        attempts = 5 if self.target is Target.AWS else 2
        return self._session.client(
            service,
            endpoint_url=endpoint(self.target, self.environ),
            config=Config(
                connect_timeout=5,
                read_timeout=30,
                retries={"mode": "standard", "max_attempts": attempts},
            ),
            **credentials,
        )

    @cached_property
    def _session(self) -> boto3.session.Session:
        return boto3.session.Session(botocore_session=self._chain(), region_name=self.region)

    def _chain(self) -> botocore.session.Session:
        """The credential chain of `environ`, which need not be the process's own.

        boto3 would take a key from the process's environment before a profile that is only named
        in `environ`; a profile that is set on the session comes first. Keys in `environ` itself
        come before its profile, as in every AWS tool.
        """
        if self.target is not Target.AWS:
            return botocore.session.Session(session_vars=_WITHOUT_PROFILE)
        keys = "AWS_ACCESS_KEY_ID" in self.environ
        chain = botocore.session.Session(profile=None if keys else self.environ.get("AWS_PROFILE"))
        for variable, setting in _CONFIGURATION_FILES.items():
            if variable in self.environ:
                chain.set_config_variable(setting, self.environ[variable])
        if not self.follows_endpoints:
            # On the session, not on the client: what fetches credentials must keep to it as well.
            chain.set_config_variable("ignore_configured_endpoint_urls", True)
        return chain

    def terraform_environ(self) -> dict[str, str]:
        """The variables Terraform's provider and backend need to reach the same place.

        An endpoint in the shell or in a profile is meant for other software, or for an emulator:
        on AWS neither boto3 nor Terraform follows it.
        """
        common = {"AWS_REGION": self.region, "AWS_DEFAULT_REGION": self.region}
        address = endpoint(self.target, self.environ)
        if address is not None:
            emulator = {"AWS_ENDPOINT_URL": address, "AWS_EC2_METADATA_DISABLED": "true"}
            return {**common, **self._emulator_key(), **emulator}
        given = {name: self.environ[name] for name in _CREDENTIAL_VARIABLES if name in self.environ}
        return {**common, **given, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}

    def _emulator_key(self) -> dict[str, str]:
        """What an emulator wants to see; nothing on AWS, where a chain finds credentials."""
        if self.target is Target.AWS:
            return {}
        if self.target is Target.EMBEDDED:
            return load_or_create_embedded_key(self.environ).variables
        return _LOCALSTACK_KEY.variables

    def identity(self) -> tuple[str, str]:
        """Account id and the caller's ARN; also the first proof that credentials work.

        Raises:
            CredentialsError: AWS did not accept them.
            UnreachableError: the endpoint does not answer.
        """
        with translate_aws_errors(f"asking {self.target} who we are"):
            answer = self.client("sts").get_caller_identity()
        return answer["Account"], answer["Arn"]
