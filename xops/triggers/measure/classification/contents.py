"""What the beginning of a file tells, where its path cannot: a few bounded scans, no parser.

The files are anybody's. So no YAML is loaded: the keys at the start of lines are read, document by
document, of at most `MOST_CHARACTERS`. Keys are those that the tools ask for themselves:
`apiVersion` and `kind` (Kubernetes' API conventions), `AWSTemplateFormatVersion` and `Transform`
(CloudFormation), `$schema` (Azure Resource Manager), `hosts` (Ansible), `#cloud-config`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from xops.triggers.measure.classification.hints import CODE, YAML
from xops.triggers.measure.classification.kinds import Kind

MOST_CHARACTERS: Final = 64 << 10
_MOST_DOCUMENTS = 200

Found = tuple[Kind, str]
"""A kind, and why."""

_KEY = re.compile(
    r"(- {1,3}| {2}| {4}|)([\"']?)([A-Za-z$][\w.$/-]{0,80})\2 {0,4}:(?=\s|$)\s{0,4}(.{0,200})"
)
_TALOS_VERSION = re.compile(r"v\d(alpha|beta)\d")  # Talos' own documents have no group
# Types of Deployment Manager: `compute.v1.instance`, `gcp-types/compute-v1:instances`.
_GOOGLE_TYPE = re.compile(
    r"^[- ]{0,6}type: {1,4}[\"']?(?:gcp-types/|(?:compute|container|storage|sqladmin|iam|pubsub|dns"
    r"|bigquery|logging|cloudfunctions|cloudresourcemanager|deploymentmanager|runtimeconfig)"
    r"\.(?:v\d|beta|alpha)\w{0,9}\.[a-zA-Z])",
    re.MULTILINE,
)
_COMMENT = re.compile(r"^# ?", re.MULTILINE)


@dataclass(slots=True)
class _Document:
    """The keys at the start of one document: of the document itself, and of items of a list."""

    keys: dict[str, str] = field(default_factory=dict)
    of_items: set[str] = field(default_factory=set)


def kind_of(extension: str, text: str) -> Found | None:
    """The kind that the content shows, or None: it shows none.

    Args:
        extension: of the file, without a dot.
        text: the beginning of the file.
    """
    text = text[:MOST_CHARACTERS].removeprefix("\ufeff")
    if text.startswith("#cloud-config"):
        return Kind.CLOUD_INIT, "it starts with #cloud-config"
    if extension in CODE:
        return _of_code(text)
    if extension == "json" or text.startswith(("{\n", '{"')):
        return _of_json(text)
    if extension in YAML or extension == "template":
        return _of_yaml(text)
    return None


def can_tell(extension: str) -> bool:
    """Whether the content of files with an extension shows a kind, if they are of one."""
    return extension in YAML or extension in CODE or extension in {"json", "template"}


def is_silent(extension: str, text: str) -> bool:
    """Whether a YAML file has no key that could tell: it is empty, or all of it is a comment."""
    return extension in YAML and not any(d.keys or d.of_items for d in _documents(text))


def _of_yaml(text: str) -> Found | None:
    found = next(filter(None, map(_of_document, _documents(text))), None)
    if found:
        return found
    if is_silent("yaml", text):  # a manifest that is switched off by comments
        bare = _COMMENT.sub("", text)
        return (
            None if bare == text else next(filter(None, map(_of_document, _documents(bare))), None)
        )
    if _GOOGLE_TYPE.search(text):
        return Kind.DEPLOYMENT_MANAGER, "it has a resource of a type of Google Cloud"
    if "Type: AWS::" in text or "Type: 'AWS::" in text or 'Type: "AWS::' in text:
        return Kind.CLOUDFORMATION, "it has a resource of type AWS::..."
    return None


def _documents(text: str) -> Iterator[_Document]:
    document, left = _Document(), _MOST_DOCUMENTS
    for line in text.splitlines():
        if line.startswith("---"):
            yield document
            document, left = _Document(), left - 1
            if not left:
                return
        elif match := _KEY.match(line):
            indent, _, key, value = match.groups()
            if not indent:
                document.keys.setdefault(key, _plain(value))
            elif not document.keys:
                document.of_items.add(key)
    yield document


def _plain(value: str) -> str:
    return value.partition(" #")[0].strip().strip("\"'")


def _of_document(document: _Document) -> Found | None:
    keys = document.keys
    if "apiVersion" in keys and "kind" in keys:
        return _of_object(keys)
    if "AWSTemplateFormatVersion" in keys or keys.get("Transform", "").startswith("AWS::"):
        return Kind.CLOUDFORMATION, "it is a CloudFormation template"
    if "heat_template_version" in keys:
        return Kind.HEAT, "it has heat_template_version"
    if not keys:
        return _of_list(document.of_items)
    return next((found for needed, found in _BY_KEYS if needed <= keys.keys()), None)


_BY_KEYS: Final[tuple[tuple[frozenset[str], Found], ...]] = (
    (frozenset({"sops"}), (Kind.SOPS, "it is encrypted by SOPS")),
    (frozenset({"service", "provider"}), (Kind.SERVERLESS, "it has service and provider")),
    (frozenset({"service", "functions"}), (Kind.SERVERLESS, "it has service and functions")),
    (frozenset({"machine", "cluster"}), (Kind.TALOS, "it has machine and cluster")),
    (frozenset({"machine"}), (Kind.TALOS, "it has machine")),
    # Of a template only `Resources` is required (CloudFormation user guide, template anatomy).
    *(
        (
            frozenset({"Resources", section}),
            (Kind.CLOUDFORMATION, f"it has Resources and {section}"),
        )
        for section in (
            "Parameters",
            "Outputs",
            "Conditions",
            "Mappings",
            "Transform",
            "Metadata",
            "Description",
            "Globals",
        )
    ),
    (frozenset({"releases", "repositories"}), (Kind.HELM, "it is a helmfile")),
    (frozenset({"releases", "helmDefaults"}), (Kind.HELM, "it is a helmfile")),
    (frozenset({"releases", "bases"}), (Kind.HELM, "it is a helmfile")),
    (frozenset({"helmfiles"}), (Kind.HELM, "it is a helmfile")),
    # Stacks of Atmos, which Terraform gets its variables from.
    *(
        (frozenset(keys), (Kind.TERRAFORM, "it is a stack of Atmos"))
        for keys in ({"import", "vars"}, {"components", "vars"}, {"components", "import"})
    ),
    (frozenset({"imports", "resources"}), (Kind.DEPLOYMENT_MANAGER, "it has imports, resources")),
)

_NO_CLUSTER: Final = (
    "skaffold/", "backstage.io/", "kind.x-k8s.io/", "k3d.io/", "ctlptl.dev/", "tilt.dev/",
    "schema.plugin.fluxcd.io/", "scaffolder.backstage.io/", "devfile.io/", "score.dev/",
    "client.authentication.k8s.io/", "config.kio.kasten.io/",
)  # fmt: skip
"""Groups whose objects configure a developer's tool and never reach a cluster."""

_BY_GROUP: Final[tuple[tuple[str, Kind], ...]] = (
    ("kustomize.config.k8s.io", Kind.KUSTOMIZE),
    ("argoproj.io", Kind.ARGO),
    ("fluxcd.io", Kind.FLUX),
    ("crossplane.io", Kind.CROSSPLANE),
    ("upbound.io", Kind.CROSSPLANE),
)
_WITHOUT_METADATA: Final = (
    "kustomize.config.k8s.io", "config.k8s.io", "kubeadm.k8s.io", "eksctl.io", "audit.k8s.io",
)  # fmt: skip


def _of_object(keys: dict[str, str]) -> Found | None:
    """A Kubernetes object: `apiVersion`, `kind`, and `metadata` or `items` of a list."""
    version, kind = keys["apiVersion"], keys["kind"]
    group = version.partition("/")[0]
    why = f"it has apiVersion {version[:80]} and kind {kind[:80]}"
    if version.startswith(_NO_CLUSTER) or (version == "v1" and kind == "Config"):
        return None
    if _TALOS_VERSION.fullmatch(version):
        return Kind.TALOS, why
    if not {"metadata", "items"} & keys.keys() and not group.endswith(_WITHOUT_METADATA):
        return None
    of_group = (name for suffix, name in _BY_GROUP if _is_below(group, suffix))
    return next(of_group, Kind.KUBERNETES), why


def _is_below(group: str, suffix: str) -> bool:
    return group == suffix or group.endswith("." + suffix)


_MODULES: Final = frozenset(
    {"apt", "yum", "dnf", "package", "copy", "template", "file", "service", "systemd", "command",
     "shell", "debug", "include_tasks", "import_tasks", "set_fact", "lineinfile", "user", "git",
     "get_url", "uri", "docker_container", "become", "when", "with_items", "notify", "register",
     "block", "include_role", "import_role", "unarchive", "pip", "loop", "ansible.builtin.apt",
     "changed_when", "gather_facts", "raw", "script", "include", "include_vars", "assert"}
)  # fmt: skip


def _of_list(keys: set[str]) -> Found | None:
    if "hosts" in keys or any("import_playbook" in key for key in keys):
        return Kind.ANSIBLE, "it is a playbook"
    if {"op", "path"} <= keys:
        return Kind.KUSTOMIZE, "it is a JSON patch"
    modules = keys & _MODULES or {key for key in keys if key.startswith("ansible.")}
    if modules and ("name" in keys or len(modules) > 1):
        return Kind.ANSIBLE, f"it is a list of tasks ({min(modules)})"
    return None


_ARM_SCHEMA = re.compile(
    r'"\$schema"\s{0,9}:\s{0,9}"[^"]{0,200}[dD]eployment(Template|Parameters)\.json'
)
_AWS_TYPE = re.compile(r'"Type"\s{0,9}:\s{0,9}"AWS::')
_AZURE_TYPE = re.compile(r'"type"\s{0,9}:\s{0,9}"Microsoft\.')
_JSON_VERSION = re.compile(r'"apiVersion"\s{0,9}:\s{0,9}"([^"]{1,100})"')
_JSON_KIND = re.compile(r'"kind"\s{0,9}:\s{0,9}"([^"]{1,100})"')


def _of_json(text: str) -> Found | None:
    if _ARM_SCHEMA.search(text):
        return Kind.ARM, "its $schema is one of Azure Resource Manager"
    if '"AWSTemplateFormatVersion"' in text or _AWS_TYPE.search(text):
        return Kind.CLOUDFORMATION, "it is a CloudFormation template"
    if '"ParameterKey"' in text and '"ParameterValue"' in text:
        return Kind.CLOUDFORMATION, "it has parameters of a CloudFormation stack"
    if '"Resources"' in text and ('"Parameters"' in text or '"Outputs"' in text):
        return Kind.CLOUDFORMATION, "it has Resources beside Parameters or Outputs"
    if _AZURE_TYPE.search(text):
        return Kind.ARM, "it has a resource of type Microsoft..."
    if '"Statement"' in text and '"Effect"' in text and '"Action"' in text:
        return Kind.CLOUDFORMATION, "it is a policy of AWS IAM"
    if '"containerDefinitions"' in text:
        return Kind.ECS, "it has containerDefinitions"
    if '"builders"' in text and ('"type"' in text or '"provisioners"' in text):
        return Kind.PACKER, "it has builders"
    return _of_json_object(text) if '"metadata"' in text or '"items"' in text else None


def _of_json_object(text: str) -> Found | None:
    version, kind = _JSON_VERSION.search(text), _JSON_KIND.search(text)
    if version is None or kind is None:
        return None
    return _of_object({"apiVersion": version[1], "kind": kind[1], "metadata": ""})


_IMPORTS: Final[tuple[tuple[Kind, tuple[str, ...]], ...]] = (
    (Kind.CDKTF, ("cdktf", "github.com/hashicorp/terraform-cdk-go", "com.hashicorp.cdktf")),
    (
        Kind.CDK,
        ("aws-cdk-lib", "@aws-cdk/", "aws_cdk", "awscdk", "Amazon.CDK", '"constructs"',
         "'constructs'", "cdk8s"),
    ),
    (
        Kind.PULUMI,
        ("@pulumi/", "import pulumi", "from pulumi", "github.com/pulumi/pulumi", "using Pulumi",
         "com.pulumi"),
    ),
)  # fmt: skip


def _of_code(text: str) -> Found | None:
    for kind, words in _IMPORTS:
        for word in words:
            if word in text:
                return kind, f"it imports {word}"
    return None


def document() -> dict[str, object]:
    """These rules as data, for the digest of a classifier."""
    return {
        "keys": [[sorted(needed), kind] for needed, (kind, _) in _BY_KEYS],
        "groups": [[suffix, kind] for suffix, kind in _BY_GROUP],
        "no_cluster": list(_NO_CLUSTER),
        "without_metadata": list(_WITHOUT_METADATA),
        "modules": sorted(_MODULES),
        "types": [
            pattern.pattern for pattern in (_GOOGLE_TYPE, _ARM_SCHEMA, _AWS_TYPE, _AZURE_TYPE)
        ],
        "imports": [[kind, list(words)] for kind, words in _IMPORTS],
    }
