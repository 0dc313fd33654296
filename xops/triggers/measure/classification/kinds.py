"""The kinds of infrastructure code, and the groups of what lies beside it and is none."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """A kind of infrastructure code. The order decides: what is more telling comes first."""

    TERRAGRUNT = "terragrunt"
    OPENTOFU = "opentofu"
    PACKER = "packer"
    NOMAD = "nomad"
    TERRAFORM = "terraform"
    BICEP = "bicep"
    ARM = "arm"
    PUPPET = "puppet"
    SALT = "salt"
    CHEF = "chef"
    TANKA = "tanka"
    CUE = "cue"
    KCL = "kcl"
    NIXOS = "nixos"
    ATLANTIS = "atlantis"
    KUSTOMIZE = "kustomize"
    ARGO = "argo"
    FLUX = "flux"
    CROSSPLANE = "crossplane"
    ANSIBLE = "ansible"
    SERVERLESS = "serverless"
    COPILOT = "copilot"
    ECS = "ecs"
    CLOUDFORMATION = "cloudformation"
    HEAT = "heat"
    DEPLOYMENT_MANAGER = "deployment_manager"
    CDKTF = "cdktf"
    CDK = "cdk"
    PULUMI = "pulumi"
    TALOS = "talos"
    CLOUD_INIT = "cloud_init"
    HELM = "helm"
    KUBERNETES = "kubernetes"
    SOPS = "sops"


class Excluded(StrEnum):
    """What lies among infrastructure code and is none."""

    LOCK_FILE = "lock_file"
    VENDORED = "vendored"
    GENERATED = "generated"
    TEST_DATA = "test_data"
    TOOLING = "tooling"
    APPLICATION = "application"
    DOCUMENT = "document"


POLICY = "excluded"
"""The group of what `github.exclude` of the policy names."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one path is.

    Attributes:
        kind: a kind of infrastructure code; None is no infrastructure code. The best judgement
            there is, also where it is not certain.
        certain: False if the content of the file, or a file above it, could say otherwise.
        why: the rule that decided, for people.
        group: what it is excluded as, if it is.
        read: whether its content was read and did not tell.
        silent: whether there is nothing in it that could tell: no key, or comments only.
    """

    kind: str | None
    certain: bool
    why: str
    group: str = ""
    read: bool = False
    silent: bool = False
