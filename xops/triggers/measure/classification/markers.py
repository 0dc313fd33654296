"""What a file above a path tells: it is part of a chart, a base, a program, a playbook's folder.

A tool marks its folder by one file with a fixed name. Which of them can matter for a path is known
from its extension, so that few files are asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from xops.triggers.measure.classification.contents import Found
from xops.triggers.measure.classification.hints import CODE, LOADED, YAML
from xops.triggers.measure.classification.kinds import Kind

_LEVELS: Final[Mapping[str, int]] = {
    "Chart.yaml": 5, "kustomization.yaml": 3, "kustomization.yml": 2, "Pulumi.yaml": 5,
    "Pulumi.yml": 2, "cdk.json": 5, "cdktf.json": 3, "ansible.cfg": 4, "main.tf": 5,
    "serverless.yml": 3, "init.sls": 4, "manifests/init.pp": 4,
}  # fmt: skip
"""Marker files, and in how many folders upwards they are looked for: usual depths, few files."""

_KINDS: Final[Mapping[str, Kind]] = {
    "Chart.yaml": Kind.HELM, "kustomization.yaml": Kind.KUBERNETES,
    "kustomization.yml": Kind.KUBERNETES, "Pulumi.yaml": Kind.PULUMI, "Pulumi.yml": Kind.PULUMI,
    "cdk.json": Kind.CDK, "cdktf.json": Kind.CDKTF, "ansible.cfg": Kind.ANSIBLE,
    "main.tf": Kind.TERRAFORM, "serverless.yml": Kind.SERVERLESS, "init.sls": Kind.SALT,
    "manifests/init.pp": Kind.PUPPET,
}  # fmt: skip

_PROGRAMS = ("Pulumi.yaml", "Pulumi.yml", "cdk.json", "cdktf.json")
_OF_YAML = ("kustomization.yaml", "kustomization.yml", "Chart.yaml", "ansible.cfg",
            "serverless.yml", "main.tf", "init.sls")  # fmt: skip
_OF_LOADED = ("Chart.yaml", "ansible.cfg", "main.tf", "cdk.json", "Pulumi.yaml", "init.sls")
_OF_TEMPLATES = ("manifests/init.pp", "init.sls")

_RUN_BY_IT: Final = frozenset(
    {"lambda", "lambdas", "function", "functions", "handler", "handlers", "app", "apps", "www",
     "runtime", "layer", "layers", "assets", "docker", "container", "containers", "test",
     "tests", "__tests__", "frontend", "backend", "web", "client", "server", "src", "site",
     "public", "dags", "website", "code"}
)  # fmt: skip
"""Folders in a project of Pulumi or the CDK that hold the application which it deploys."""

_OF_A_CHART = frozenset({"templates", "crds", "charts", "files", "values", "ci"})
_OF_A_PLAYBOOK = frozenset(
    {"vars", "defaults", "tasks", "handlers", "templates", "files", "roles", "playbooks",
     "group_vars", "host_vars", "inventory", "inventories", "provisioning"}
)  # fmt: skip
_OF_A_MODULE = frozenset(
    {"templates", "files", "scripts", "policies", "user_data", "userdata", "config", "configs",
     "manifests", "values", "helm", "template", "cloud-init", "user-data", "data", "datasets",
     "catalog", "lib"}
)  # fmt: skip


def wanted(parts: Sequence[str], extension: str) -> Iterator[str]:
    """The marker files that could tell what a path is, the nearest first."""
    return (marker for marker, _, _ in _wanted(parts, extension))


def _wanted(parts: Sequence[str], extension: str) -> Iterator[tuple[str, str, Sequence[str]]]:
    """Each with its name, and the parts of the path below its folder."""
    names = _names(extension)
    for level in range(len(parts) - 1, -1, -1):
        above, below = parts[:level], parts[level:]
        for name in names:
            if len(below) <= _LEVELS[name]:
                yield "/".join([*above, name]), name, below


def _names(extension: str) -> tuple[str, ...]:
    if extension in CODE:
        return _PROGRAMS
    if extension in YAML:
        return _OF_YAML
    if extension == "json":
        return ("main.tf",)
    if extension in {"erb", "jinja"}:
        return _OF_TEMPLATES
    return _OF_LOADED if extension in LOADED else ()


def kind_of(parts: Sequence[str], extension: str, there: Mapping[str, str | None]) -> Found | None:
    """The kind that a marker gives to a path; None: no marker that is there does.

    Args:
        parts: the path, taken apart at `/`.
        extension: of the file.
        there: what was asked for, by path; None: there is no such file.
    """
    for marker, name, below in _wanted(parts, extension):
        if there.get(marker) is None:
            continue
        if _belongs(name, below, extension, at_root=len(below) == len(parts)):
            return _KINDS[name], f"{marker} is above it"
    return None


def _belongs(name: str, below: Sequence[str], extension: str, *, at_root: bool) -> bool:
    """Whether a path below the folder of a marker is part of what it marks."""
    folders = below[:-1]
    if name in _PROGRAMS:
        return _RUN_BY_IT.isdisjoint(folder.lower() for folder in folders)
    if name == "Chart.yaml":
        return not folders or folders[0] in _OF_A_CHART
    if name == "ansible.cfg":
        return _of_a_playbook(below, extension)
    if name == "main.tf":
        return _of_a_module(folders, extension, at_root=at_root)
    if name == "serverless.yml":
        return bool(folders) and folders[0] in {"resource", "resources"}
    return True


def _of_a_module(folders: Sequence[str], extension: str, *, at_root: bool) -> bool:
    """Terraform reads data from YAML and JSON in any folder of a module (factories)."""
    if at_root:
        return bool(folders) and folders[0] in _OF_A_MODULE
    if extension in YAML or extension == "json":
        return _RUN_BY_IT.isdisjoint(folders)
    return not folders or folders[0] in _OF_A_MODULE


def _of_a_playbook(below: Sequence[str], extension: str) -> bool:
    if not below[:-1]:
        return extension in YAML or extension == "ini"
    return not _OF_A_PLAYBOOK.isdisjoint(below[:-1])


def document() -> dict[str, object]:
    """These rules as data, for the digest of a classifier."""
    sets = (_RUN_BY_IT, _OF_A_CHART, _OF_A_PLAYBOOK, _OF_A_MODULE)
    return {"levels": dict(_LEVELS), "kinds": dict(_KINDS), "folders": [sorted(s) for s in sets]}
