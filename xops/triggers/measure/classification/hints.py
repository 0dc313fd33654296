"""What a path suggests without being certain, and which files are worth a look at their content.

Folders such as `base/` and words such as `deployment` stand in the names of Kubernetes manifests
and of much else. They give the best judgement that a path allows; the content, where it can be
read, decides.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from xops.triggers.measure.classification.kinds import Judgement, Kind

YAML: Final = frozenset({"yaml", "yml"})
CODE: Final = frozenset({"ts", "mts", "js", "mjs", "py", "go", "cs", "fs", "vb", "java", "scala"})
LOADED: Final = frozenset(
    {"sh", "ps1", "tpl", "tmpl", "j2", "conf", "cfg", "ini", "txt", "erb", "jinja"}
)
"""Extensions of files that infrastructure code loads: scripts, templates, configuration."""

_INFRASTRUCTURE = frozenset(
    {"infra", "infrastructure", "iac", "infra-as-code", "infrastructure-as-code", "terraform",
     "opentofu", "tofu", "terragrunt", "provisioning"}
)  # fmt: skip
_PROGRAM = frozenset(
    {"src", "pages", "client", "frontend", "backend", "ui", "www", "public", "assets", "static",
     "internal", "pkg", "cmd", "lambda", "lambdas", "functions", "function", "handlers",
     "handler", "layers", "layer", "models", "controllers", "hooks", "domain", "java", "kotlin",
     "runtime", "routes", "sdk", "test", "tests", "__tests__"}
)  # fmt: skip
"""Folders of programs: what is below them is read by a program, not by a platform's tool."""

_APPLICATION = _PROGRAM | frozenset(
    {"app", "components", "server", "web", "services", "core", "main", "docker", "packages",
     "helpers", "schemas", "schema", "scripts", "tools", "hack", "api", "data", "database",
     "common", "utils", "util", "migrations"}
)  # fmt: skip
"""Folders in which code and JSON are mostly of programs; YAML may be of either."""

_POLICY_WORDS = frozenset({"iam", "trust", "bucket", "assume", "role", "s3", "kms", "scp", "sqs"})
_POLICY_FOLDERS = frozenset({"policies", "iam", "iam-policies", "scp", "scps"})
"""Words of documents that say who may do what in a cloud: JSON that other declarations load."""

_NO_JSON = _PROGRAM | {"app", "components", "server", "web", "services", "packages", "database",
                       "schemas", "schema", "utils", "helpers", "core"}  # fmt: skip

_INSTALLED: Final = frozenset(
    {"alertmanager", "argocd", "capi", "cert-manager", "cilium", "cluster-api",
     "cluster-autoscaler", "dapr", "external-dns", "external-secrets", "gatekeeper", "grafana",
     "ingress-nginx", "istio", "k3s", "karpenter", "keda", "knative", "kops", "kubeadm",
     "kube-prometheus-stack", "kyverno", "linkerd", "loki", "longhorn", "metallb",
     "metrics-server", "prometheus", "rke2", "rook", "rook-ceph", "sealed-secrets", "tekton",
     "traefik", "vault", "velero"}
)  # fmt: skip
"""What clusters are made with, and what is installed on them: folders and files are called so."""

_MANIFEST_FOLDERS: Final[dict[str, Kind]] = {
    **dict.fromkeys(
        ("ack", "addons", "aks", "apps", "argo-rollouts", "aso", "base", "bases", "bootstrap",
         "cluster", "config-connector", "crd", "crossplane", "deploy", "deployment",
         "deployments", "eks", "environments", "envs", "gke", "helmreleases",
         "image-automation", "ingress", "kapp", "kcc", "kube-system", "kustomizations",
         "machineconfigs", "manifest", "manifests", "mgmt", "monitoring", "namespaces",
         "network-policies", "networkpolicies", "nonprod", "observability", "openshift",
         "operator", "operators", "overlay", "overlays", "preprod", "prod", "production", "rbac",
         "rollouts", "sealedsecrets", "staging", "storageclasses", "tenants", "workloads", "ytt",
         *sorted(_INSTALLED)),
        Kind.KUBERNETES,
    ),
    **dict.fromkeys(("applications", "applicationsets", "argocd-apps", "argo-apps"), Kind.ARGO),
    "releases": Kind.FLUX, "templates": Kind.HELM, "chart": Kind.HELM, "apis": Kind.CROSSPLANE,
    "claims": Kind.CROSSPLANE, "stacks": Kind.CLOUDFORMATION,
    "stacksets": Kind.CLOUDFORMATION, "heat": Kind.HEAT,
}  # fmt: skip
"""Folders in which manifests are kept: by custom, and by the name of what they install."""

_TOP_FOLDERS: Final[dict[str, Kind]] = {
    **dict.fromkeys(
        ("platform", "live", "projects", "sources", "policies", "secrets", "alerts", "nodes",
         "databases", "certificates", "issuers", "system", "repositories"),
        Kind.KUBERNETES,
    ),
    "providers": Kind.CROSSPLANE, "values": Kind.HELM, "opa": Kind.KUBERNETES,
    "aws": Kind.CLOUDFORMATION, "gcp": Kind.DEPLOYMENT_MANAGER, "azure": Kind.ARM,
}  # fmt: skip
"""Folders that mean it at the top of a repository only."""

_MANIFEST_WORDS = frozenset(
    {"manifests", "kubernetes", "k8s", "kustomize", "helm", "gitops", "argocd", "flux"}
)

_OF_PROGRAM_DATA = frozenset({"config", "content", "data", "i18n", "contents", "schemas"})
"""Folders of a program in a monorepo's `apps/`."""

_OBJECTS: Final = frozenset(
    {"deployment", "svc", "ingress", "configmap", "statefulset",
     "daemonset", "cronjob", "namespace", "ns", "hpa", "pdb", "networkpolicy", "serviceaccount",
     "rbac", "clusterrole", "clusterrolebinding", "rolebinding", "pvc", "pv", "storageclass",
     "externalsecret", "sealedsecret", "clusterissuer", "issuer", "servicemonitor",
     "podmonitor", "prometheusrule", "prometheusrules", "httproute", "virtualservice", "crd",
     "crds",     "secretstore", "clustersecretstore", "persistentvolumeclaim", "persistentvolume",
     "replicaset", "kubernetes", "k8s", "eks", "eksctl", "gke", "aks", "kustomize",
     "priorityclass", "kubeadm", "scaledobject", "controlplane", "replicationcontroller", "rc",
     "poddisruptionbudget", "horizontalpodautoscaler", "limitrange",
     "resourcequota", "ingressroute", "ingressclass", "nodepool", "nodeclass", "provisioner",
     "machinedeployment", "alertmanager", "letsencrypt", "helmchart", "workflowtemplate",
     "applicationset", "machineconfig", "alertrules", "alertingrules", "recordingrules",
     "clusterpolicy", "providerconfig", "xr", "xrc", "managedcertificate", "backendconfig"}
)  # fmt: skip
"""Words in the names of manifests: the kinds of Kubernetes' API and of common extensions."""

_USUAL_OBJECTS: Final = frozenset(
    {"deploy", "service", "gateway", "certificate", "pod", "manifest", "manifests", "secret",
     "rollout", "cluster", "role", "claim", "sa", "netpol", "quota", "worker", "job", "secrets",
     "kustomizations", "provider", "clusters", "cert", "patch", "alerts", "environments"}
)  # fmt: skip
"""Those of them that programs have as well: they tell at an end of a name, outside of programs."""

_WRITTEN: Final = frozenset(
    {"openapi", "swagger", "schema", "schemas", "proto", "protos", "content", "posts", "messages"}
)
"""Folders in which the name of a file says what is specified or written about."""

_SPECIFICATIONS: Final = _WRITTEN | frozenset(
    {"api", "spec", "specs", "data", "config", "services", "contracts", "flows", "workflows"}
)
"""Folders in which a word such as `service` does so."""

_KUBEBUILDER: Final = frozenset(
    {"default", "manager", "samples", "certmanager", "webhook", "scorecard", "network-policy"}
)
"""Folders that Kubebuilder makes below `config/`."""

_ALSO_OF_PROGRAMS: Final = frozenset(
    {"apps", "prod", "production", "staging", "projects", "platform", "sources", "deployments",
     "providers", "values", "nodes", "databases", "secrets", "alerts", "templates", "policies"}
)  # fmt: skip
"""Those of them that mean something else below `config/`, `data/` and the like."""

_PLAYBOOK_WORDS: Final = frozenset(
    {
        "provision",
        "provisioning",
        "configure",
        "playbook",
        "install",
        "setup",
        "bootstrap",
        "webservers",
        "dbservers",
    }
)
"""Words in the names of playbooks, in Ansible's own examples and in many others."""

_RESOURCE = re.compile(
    r"SecurityGroup|RouteTable|Subnet[A-Z.]|InternetGateway|LoadBalancer|RDS|DynamoDB|VPC|IAM"
)
"""Types of AWS' resources, as files are called that CloudFormation or Serverless puts together."""

_OF_SPRING = re.compile(r"application(-\w+)?\.yml")
"""The settings of a program: manifests called `application` end in `.yaml`."""

_REGION = re.compile(r"(us|eu|ap|sa|ca|me|af|cn|il|mx)-(gov-)?[a-z]{4,9}-\d")

_AWS_WORDS: Final = frozenset(
    {"vpc", "rds", "aurora", "cloudfront", "cloudtrail", "cloudformation", "dynamodb", "sqs",
     "sns", "ec2", "iam", "elb", "alb", "nlb", "kinesis", "s3", "route53", "bastion", "asg",
     "ecs", "ecr", "eventbridge", "cloudwatch", "elasticache", "efs", "kms", "waf", "subnets",
     "subnet", "securityhub", "guardduty", "secretsmanager", "stackset", "documentdb"}
)  # fmt: skip
"""Services in the names of CloudFormation templates."""

_PROGRAM_FILES: Final = frozenset(
    {"index.ts", "__main__.py", "main.go", "Program.cs", "Program.fs", "App.java", "app.py",
     "MyStack.cs", "index.js", "main.ts"}
)  # fmt: skip
"""What Pulumi's and the CDK's templates call a program."""

_RULES = frozenset({"policies", "policy", "opa", "conftest", "gatekeeper", "rego"})

_NAVIGATION = frozenset({"navigation", "navigators", "screens", "navigator", "router"})
"""Folders of applications whose screens lie in stacks: `AuthStack.ts`."""

_USUAL_NAMES = frozenset({"main.go", "app.py", "index.js", "main.ts"})
"""Those of them that most other programs have as well."""

_IN_A_PROGRAM = frozenset({"Program.cs", "App.java", "Program.fs"})
"""Those of them that lie below `src/`, because their languages want it so."""

_TOOL_WORDS = frozenset({"pulumi", "cdk", "cdktf", "infra", "iac", "infrastructure"})

_CLOUD_WORDS: Final = frozenset(
    {"aws", "azure", "gcp", "google", "pulumi", "cdk", "kubernetes", "k8s", "eks", "aks", "gke",
     "vpc", "cloud", "infra", "infrastructure", "iac", "stack", "stacks", "digitalocean",
     "alicloud", "openstack", "cdktf", "network", "cluster", "platform", "constructs",
     "serverless", "dynamodb", "ec2", "ecs", "ecr", "s3", "sqs", "sns", "fargate", "rds", "iam",
     "eventbridge", "apigateway", "apigw", "cloudfront", "route53", "stepfunctions", "kinesis",
     "elb", "alb", "opensearch", "cosmosdb", "appservice", "cloudrun", "bigquery", "linode",
     "civo", "vultr", "hetzner", "hcloud", "proxmox", "waf", "cognito", "codepipeline", "appsync",
     "elasticbeanstalk", "balancer", "kms", "ssm", "cloudwatch", "cloudformation", "firehose",
     "msk", "efs", "codebuild", "codecommit", "codedeploy", "cloudtrail", "athena", "glue", "acm",
     "apigatewayv2", "autoscaling", "docdb", "elasticache", "elasticsearch", "guardduty",
     "neptune", "redshift", "secretsmanager", "securityhub", "servicecatalog", "awsx", "bedrock",
     "sagemaker", "apprunner", "lightsail", "httpapi", "lambda"}
)  # fmt: skip
"""Words in the names of folders of programs for Pulumi and the CDK: clouds and their services."""
_STACK = re.compile(r"(?:[a-z0-9]Stack\.(?:java|cs|ts|py|go)|[-_.]stack\.\w+)$")
_TEMPLATE = re.compile(
    r"(aws|azure|gcp|kubernetes|google-native|azure-native|digitalocean|linode|openstack)"
    r"-(ts|js|py|go|cs|fs|java)(-|$)"
)
"""How Pulumi names its templates: cloud, language, and what is made."""

_OF_CDK = frozenset({"stacks", "constructs", "cdk8s"})
_COMMANDS = frozenset({"cli.ts", "index.ts", "run.ts", "dev.ts", "start.ts", "server.ts", "www.ts"})
"""What other programs keep in `bin/`."""

_WORDS = re.compile(r"[-_.@\s]+")
_HYPHENS = re.compile(r"[-_]+")
_DEEP = 3
_TEMPLATED: Final = ("tpl", "tmpl", "j2", "template", "gotmpl", "erb", "in", "tftpl", "jinja")
_SAMPLES: Final = (*_TEMPLATED, "example", "sample", "dist")
_INNER: Final = frozenset({"yaml", "yml", "json"})


def extension_of(name: str) -> str:
    """The extension of a file's name or path, without a dot; that of what a template makes.

    `x.yaml.j2` makes YAML, so it is looked at as YAML.
    """
    name = name[name.rfind("/") + 1 :]
    stem, dot, extension = name.rpartition(".")
    if dot and extension in _TEMPLATED:
        inner = stem[stem.rfind(".") + 1 :]
        return inner if inner in _INNER else extension
    return extension if dot else ""


def made_by_template(path: str) -> str:
    """The path of what a template makes: `x.tf` of `x.tf.j2`; empty if it names no extension."""
    stem, dot, extension = path.rpartition(".")
    made = dot and extension in _SAMPLES and stem.rfind(".") > stem.rfind("/")
    return stem if made else ""


def judge(parts: Sequence[str], extension: str) -> Judgement | None:
    """The best judgement of a path that no pattern knows.

    Args:
        parts: the path, taken apart at `/`.
        extension: of the file, without a dot.

    Returns:
        None: nothing suggests infrastructure code, and no look at the content is worth it.
    """
    if extension in YAML:
        return _yaml(parts)
    if extension in CODE:
        return _code(parts, extension)
    if extension == "json":
        return _json(parts)
    if extension == "template":
        return _likely(Kind.CLOUDFORMATION, "*.template")
    if extension == "rego" and _PROGRAM.isdisjoint(parts) and not _RULES.isdisjoint(parts):
        return _likely(Kind.TERRAFORM, "a folder of policies")
    if _is_inventory(parts, extension):
        return _likely(Kind.ANSIBLE, "the name inventory")
    return _loaded(parts) if extension in LOADED else None


def _is_inventory(parts: Sequence[str], extension: str) -> bool:
    """Ansible's inventories often have no extension; services are called so as well."""
    named = parts[-1] in {"inventory", "inventory.example"}
    return named or (not extension and (parts[0] == "inventory" or "inventories" in parts[:-1]))


def _likely(kind: Kind, why: str) -> Judgement:
    return Judgement(kind, certain=False, why=f"{why} suggests {kind}")


_OPEN = Judgement(None, certain=False, why="only its content can tell")


def infrastructure_folder(folders: Sequence[str]) -> str:
    """The folder of infrastructure code that a file is in; below a program's folder there is none.

    In programs a layer is often called `infrastructure`: `src/orders/infrastructure/db.ts`.
    """
    for folder in folders:
        if folder in _INFRASTRUCTURE:
            return folder
        if folder in _APPLICATION or not folder.islower():
            return ""
    return ""


def _yaml(parts: Sequence[str]) -> Judgement:
    folders, name = parts[:-1], parts[-1]
    if folder := infrastructure_folder(folders):
        return Judgement(_owner(folder), certain=True, why=f"the folder {folder}/")
    if _OF_SPRING.fullmatch(name):
        return _OPEN
    words = _WORDS.split(name.lower())[:-1]
    if not _PROGRAM.isdisjoint(folders):
        return _by_object(folders, words) or _OPEN
    return (
        _by_manifest_folder(folders, name)
        or _by_object(folders, words)
        or _by_word(folders, words)
        or _by_top_folder(folders)
        or _by_name(folders, name, words)
        or _OPEN
    )


def _by_manifest_folder(folders: Sequence[str], name: str) -> Judgement | None:
    if name.startswith((".", "_")):  # settings of a tool, in whatever folder they lie
        return None
    for before, folder in zip(("", *folders), folders, strict=False):
        kind = _of_manifest_folder(folder, before)
        if kind and not (folder in _ALSO_OF_PROGRAMS and _OF_PROGRAM_DATA.intersection(folders)):
            return _likely(kind, f"the folder {folder}/")
    return None


def _of_manifest_folder(folder: str, before: str) -> Kind | None:
    bare = folder.lstrip("._")
    if bare in _MANIFEST_FOLDERS:
        return _MANIFEST_FOLDERS[bare]
    suggests = (
        not _MANIFEST_WORDS.isdisjoint(_HYPHENS.split(bare))
        or (before == "config" and folder in _KUBEBUILDER)
        or _REGION.fullmatch(folder)
    )
    return Kind.KUBERNETES if suggests else None


def _by_object(folders: Sequence[str], words: Sequence[str]) -> Judgement | None:
    if not _WRITTEN.isdisjoint(folders):
        return None
    # `network-policy` is the object `networkpolicy`.
    found = _OBJECTS.intersection((*words, "".join(words[:2]), "".join(words[-2:])))
    return _likely(Kind.KUBERNETES, f"the word {min(found)}") if found else None


def _by_word(folders: Sequence[str], words: Sequence[str]) -> Judgement | None:
    if not words or not _WRITTEN.isdisjoint(folders):
        return None
    if found := _AWS_WORDS.intersection(words):
        return _likely(Kind.CLOUDFORMATION, f"the word {min(found)}")
    if not _SPECIFICATIONS.isdisjoint(folders):
        return None
    if found := _USUAL_OBJECTS.intersection((words[0], words[-1])):
        return _likely(Kind.KUBERNETES, f"the word {min(found)}")
    if found := _PLAYBOOK_WORDS.intersection((words[0], words[-1])):
        return _likely(Kind.ANSIBLE, f"the word {min(found)}")
    return None


def _by_top_folder(folders: Sequence[str]) -> Judgement | None:
    kind = _TOP_FOLDERS.get(folders[0]) if folders else None
    return _likely(kind, f"the folder {folders[0]}/") if kind else None


def _by_name(folders: Sequence[str], name: str, words: Sequence[str]) -> Judgement | None:
    if words == ["template"] or (words and words[-1] in {"stack", "template"}):
        return _likely(Kind.CLOUDFORMATION, f"the name {name}")
    if not _WRITTEN.isdisjoint(folders):
        return None
    if match := _RESOURCE.search(name):
        return _likely(Kind.CLOUDFORMATION, f"{match[0]} in the name")
    if name.rpartition(".")[0] in _INSTALLED:
        return _likely(Kind.KUBERNETES, f"the name {name}")
    if name == "app.yaml" and _SPECIFICATIONS.isdisjoint(folders):
        return _likely(Kind.KUBERNETES, f"the name {name}")
    if name == "main.yml" or (name == "hosts.yml" and not folders):
        return _likely(Kind.ANSIBLE, f"the name {name}")
    if name == "common.yaml" and folders and folders[-1] == "data":
        return _likely(Kind.PUPPET, "data/common.yaml")
    if name == "application.yaml" and "config" not in folders:  # Spring writes application.yml
        return _likely(Kind.ARGO, f"the name {name}")
    return None


def _owner(folder: str) -> Kind:
    return Kind.KUBERNETES if folder.startswith("infra") else Kind.TERRAFORM


def _json(parts: Sequence[str]) -> Judgement | None:
    folders, name = parts[:-1], parts[-1]
    if folder := infrastructure_folder(folders):
        return Judgement(Kind.TERRAFORM, certain=True, why=f"the folder {folder}/")
    if _NO_JSON.intersection(folders) or name.startswith("."):
        return None
    words = _WORDS.split(name.lower())[:-1]
    if _OBJECTS.intersection(words) and len(folders) <= _DEEP:
        return _likely(Kind.KUBERNETES, f"the name {name}")
    if name.endswith("parameters.json") or "azure" in folders:
        return _likely(Kind.ARM, f"the name {parts[-2]}/{name}" if folders else name)
    if "cloudformation" in words:
        return _likely(Kind.CLOUDFORMATION, "the word cloudformation")
    if words[-1:] == ["policy"] and (_POLICY_WORDS & {*words, *folders}):
        return _likely(Kind.CLOUDFORMATION, f"the name {name}")
    if not _POLICY_FOLDERS.isdisjoint(folders) and "data" not in folders:
        return _likely(Kind.CLOUDFORMATION, "a folder of policies")
    if list(folders) in (["nodes"], ["roles"]):
        return _likely(Kind.CHEF, f"the folder {folders[0]}/")
    return _OPEN


def _code(parts: Sequence[str], extension: str) -> Judgement | None:
    folders, name = parts[:-1], parts[-1]
    if name.endswith(".d.ts"):
        return None
    if folder := infrastructure_folder(folders):
        below = folders[2:] if list(folders[1:2]) == ["src"] else folders
        whole = name in _IN_A_PROGRAM or _APPLICATION.isdisjoint(below)
        whole = whole and folder not in {"terraform", "tofu"}
        return _likely(Kind.PULUMI, f"code in the folder {folder}/") if whole else _OPEN
    in_program = not _PROGRAM.isdisjoint(folders)
    if _STACK.search(name) and _NAVIGATION.isdisjoint(folders):
        return _likely(Kind.CDK, f"the name {name}")
    if in_program:
        return _of_tool(folders, name)
    return _program(folders, name)


def _words_of(folders: Sequence[str]) -> set[str]:
    return {word for folder in folders for word in _WORDS.split(folder.lower())}


def _of_tool(folders: Sequence[str], name: str) -> Judgement | None:
    """Code below `src/` and the like: a program of the CDK or Pulumi may lie there too."""
    found = _TOOL_WORDS.intersection(_words_of(folders))
    if found and name in _IN_A_PROGRAM:
        return _likely(Kind.CDK, f"a program below {min(found)}/")
    return _OPEN if found or name in _IN_A_PROGRAM else None


def _program(folders: Sequence[str], name: str) -> Judgement | None:
    """Code outside of what is clearly an application."""
    words = _words_of(folders)
    of_cloud = not words.isdisjoint(_CLOUD_WORDS)
    telling = _TOOL_WORDS if name in _USUAL_NAMES else _CLOUD_WORDS
    projects = [*folders[:1], *folders[-1:]]  # what is deep in a library is seldom a program
    if name in _PROGRAM_FILES and telling.intersection(_words_of(projects)):
        return _likely(Kind.PULUMI, f"a program {name} below {folders[-1]}/")
    # Python cannot import a package with a hyphen in its name; Pulumi runs the folder.
    if name == "__main__.py" and (not folders or "-" in folders[-1]):
        return _likely(Kind.PULUMI, f"{name} outside of a package")
    if folders[-1:] == ["bin"] and name.endswith(".ts") and name not in _COMMANDS:
        return _likely(Kind.CDK, "bin/*.ts")
    in_stacks = name.endswith((".ts", ".py")) and not _OF_CDK.isdisjoint(folders)
    if in_stacks and name != "__init__.py" and _APPLICATION.isdisjoint(folders):
        return _likely(Kind.CDK, "a folder of stacks")
    if of_cloud and _is_of_template(folders):
        return _likely(Kind.PULUMI, f"the name {folders[-1]}/")
    if of_cloud:
        return _OPEN
    if not _APPLICATION.isdisjoint(folders):
        return None
    in_name = _CLOUD_WORDS.intersection(_WORDS.split(name.lower()))
    of_cdk = not {"lib", "bin", "stack", *_OF_CDK}.isdisjoint(folders)
    return _OPEN if in_name or of_cdk or _is_entry(folders, name) else None


def _is_of_template(folders: Sequence[str]) -> bool:
    """Whether a file lies at the top of a project that is called as Pulumi's own: `aws-ts-eks`."""
    return _TEMPLATE.match(folders[-1]) is not None


def _is_entry(folders: Sequence[str], name: str) -> bool:
    return len(folders) <= 1 and name in _PROGRAM_FILES


def _loaded(parts: Sequence[str]) -> Judgement | None:
    folders, name = parts[:-1], parts[-1]
    if folder := infrastructure_folder(folders):
        return Judgement(_owner_of_loaded(folder), certain=True, why=f"the folder {folder}/")
    if name.endswith((".sh.tpl", ".ps1.tpl", ".conf.tpl", ".service.tpl", ".sh.tmpl")):
        return _likely(Kind.TERRAFORM, "a template of a script")
    if name.endswith(".j2") and not name.endswith((".html.j2", ".py.j2")):
        return _likely(Kind.ANSIBLE, "*.j2")
    if name.endswith((".conf.jinja", ".config.jinja")):
        return _likely(Kind.SALT, "*.conf.jinja")
    usual = {"templates", "files"}.isdisjoint(folders) and _APPLICATION.isdisjoint(folders)
    if usual and name.endswith(".jinja") and name.count(".") == 1:
        return _likely(Kind.DEPLOYMENT_MANAGER, "*.jinja")
    if name.endswith(".erb") and not name.endswith(".html.erb") and "templates" in folders:
        return _likely(Kind.PUPPET, "templates/*.erb")
    in_module = "modules" in folders and "scripts" in folders
    if (
        in_module
        or "templates" in folders
        or "files" in folders
        or not _APPLICATION.intersection(folders)
    ):
        return _OPEN
    return None


def _owner_of_loaded(folder: str) -> Kind:
    return Kind.TERRAFORM if folder != "provisioning" else Kind.ANSIBLE


def document() -> dict[str, object]:
    """These rules as data, for the digest of a classifier."""
    sets = (
        _INFRASTRUCTURE,
        _PROGRAM,
        _APPLICATION,
        _OBJECTS,
        _OF_PROGRAM_DATA,
        _TOOL_WORDS,
        _NO_JSON,
        _MANIFEST_WORDS,
        _AWS_WORDS,
        _IN_A_PROGRAM,
        _USUAL_NAMES,
        _PROGRAM_FILES,
        _CLOUD_WORDS,
        _ALSO_OF_PROGRAMS,
        _PLAYBOOK_WORDS,
        _USUAL_OBJECTS,
        _SPECIFICATIONS,
        _WRITTEN,
        _KUBEBUILDER,
        _POLICY_WORDS,
        _POLICY_FOLDERS,
        _INSTALLED,
        _TEMPLATED,
        _SAMPLES,
        _INNER,
        _RULES,
        _NAVIGATION,
        _OF_CDK,
        _COMMANDS,
        YAML,
        CODE,
        LOADED,
    )
    return {
        "sets": [sorted(words) for words in sets],
        "folders": dict(_MANIFEST_FOLDERS),
        "top": dict(_TOP_FOLDERS),
        "patterns": [p.pattern for p in (_STACK, _RESOURCE, _REGION, _TEMPLATE, _OF_SPRING)],
    }
