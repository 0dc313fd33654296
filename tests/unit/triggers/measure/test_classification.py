"""Which paths are infrastructure code."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pathspec import GitIgnoreSpec

from tests.soak import examples
from xops.core.errors import InputError
from xops.triggers.measure.classification import EXCLUDED, PATTERNS, Classifier, Excluded, Kind

KINDS = {
    "main.tf": Kind.TERRAFORM,
    "modules/vpc/variables.tf.json": Kind.TERRAFORM,
    "env/prod.tfvars": Kind.TERRAFORM,
    "packer/image.pkr.hcl": Kind.TERRAFORM,
    "main.tofu": Kind.OPENTOFU,
    "live/prod/terragrunt.hcl": Kind.TERRAGRUNT,
    "charts/web/templates/deployment.yaml": Kind.HELM,
    "services/web/Chart.yaml": Kind.HELM,
    "services/web/values-prod.yaml": Kind.HELM,
    "overlays/prod/kustomization.yaml": Kind.KUSTOMIZE,
    "overlays/prod/kustomization.yml": Kind.KUSTOMIZE,
    "k8s/web/deployment.yaml": Kind.KUBERNETES,
    "k8s/namespace.yml": Kind.KUBERNETES,
    "services/web/k8s/deployment.yaml": Kind.KUBERNETES,
    "apps/web.yaml": Kind.KUBERNETES,
    "argocd/projects/web.yaml": Kind.ARGO,
    "clusters/prod/flux-system/gotk-sync.yaml": Kind.FLUX,
    "ansible/site.yml": Kind.ANSIBLE,
    "ansible/roles/web/tasks/main.yml": Kind.ANSIBLE,
    "cloudformation/stack.json": Kind.CLOUDFORMATION,
    "infra/cdk.json": Kind.CDK,
    "Pulumi.prod.yaml": Kind.PULUMI,
}

NEITHER = [
    "src/main.py", "src/charts/BarChart.tsx", "src/apps/config.yaml", "app/values.py",
    "main.tf.bak", "terraform", "values.yaml.md.txt", "tfvars", ".github/workflows/ci.yaml",
]  # fmt: skip

SEGMENTS = st.sampled_from(
    [
        "src", "k8s", "apps", "charts", "docs", "cdk", "argocd", "ansible", "pulumi", "helm",
        "templates", "modules", "flux-system", "main.tf", "values.yaml", "Chart.yaml", "go.sum",
        "values-x.yml", "kustomization.yaml", ".terraform.lock.hcl", "README.md", "x.y", "a",
        "b.tpl", "cdk.json", "Pulumi.dev.yaml", "deploy.yaml", "x.cfn.json", "terragrunt.hcl",
        "main.tofu",
    ]
)  # fmt: skip
OWN_PATTERNS = st.sampled_from(
    [
        "*.tf", "a/*.tf", "/a.tf", "**/b/**", "b/", "a?c.y*ml", "v[a-c].tf", "*.[jt]s", "*a*",
        "a/**/z", "*.tf.json", ".a.*", "a\\*.tf", "Pulumi*.yaml", "*",
    ]
)  # fmt: skip
OWN_PATHS = st.lists(
    st.sampled_from(
        [
            "a", "b", "z", "q", "c.tf", "a.tf", "abc.yaml", "v.tf", "va.tf", "x.ts", "x.tf.json",
            ".a.b", "a*.tf",
        ]
    ),
    min_size=1, max_size=4,
).map("/".join)  # fmt: skip
PATHS = st.lists(SEGMENTS, min_size=1, max_size=5).map("/".join)

DEFAULT = Classifier()
ALL = [
    (str(name), GitIgnoreSpec.from_lines([pattern]))
    for name, patterns in [*EXCLUDED.items(), *PATTERNS.items()]
    for pattern in patterns
]


@pytest.mark.parametrize(("path", "kind"), KINDS.items())
def test_infrastructure_code_is_known_by_its_path(path: str, kind: Kind) -> None:
    assert DEFAULT.infrastructure(path) == kind


@pytest.mark.parametrize("path", NEITHER)
def test_other_paths_are_none(path: str) -> None:
    assert DEFAULT.kind(path) is None


@pytest.mark.parametrize(
    ("path", "excluded"),
    [
        ("terraform/stacks/x/.terraform.lock.hcl", Excluded.LOCK_FILE),
        ("charts/web/Chart.lock", Excluded.LOCK_FILE),
        ("deploy/pnpm-lock.yaml", Excluded.LOCK_FILE),
        ("modules/vpc/README.md", Excluded.DOCUMENT),
        ("docs/examples/main.tf", Excluded.DOCUMENT),
        ("modules/vpc/docs/main.tf", Excluded.DOCUMENT),
    ],
)
def test_lock_files_and_documents_are_excluded(path: str, excluded: Excluded) -> None:
    assert DEFAULT.kind(path) == excluded
    assert DEFAULT.infrastructure(path) is None


@given(PATHS)
@examples(150)
def test_the_first_pattern_of_git_that_matches_decides(path: str) -> None:
    expected = next((name for name, spec in ALL if spec.match_file(path)), None)
    assert DEFAULT.kind(path) == expected


@given(OWN_PATTERNS, OWN_PATHS)
@examples(150)
def test_own_patterns_mean_what_they_mean_to_git(pattern: str, path: str) -> None:
    own = Classifier({**{kind: [] for kind in PATTERNS}, "own": [pattern]})
    if own.kind(path) not in set(EXCLUDED):
        assert (own.kind(path) == "own") == GitIgnoreSpec.from_lines([pattern]).match_file(path)


def test_a_kind_of_ones_own_replaces_or_adds() -> None:
    own = Classifier({"helm": ["only/**"], "nomad": ["*.nomad"]})
    assert own.infrastructure("only/x") == "helm"
    assert own.infrastructure("charts/a/x.txt") is None
    assert own.matched(["a.nomad", "x.py", "README.md"]) == {"a.nomad": "nomad"}


def test_every_wrong_pattern_is_named() -> None:
    with pytest.raises(InputError) as error:
        Classifier({"helm": ["!x", "ok/**", "", "{a,b}/**", "# no"]})
    assert [finding.path for finding in error.value.findings] == [
        "helm.0", "helm.2", "helm.3", "helm.4",
    ]  # fmt: skip


@pytest.mark.parametrize("pattern", ["*a*a*a*b", "x/*-*-*.tf", "**/a/**/b/**/c"])
def test_a_pattern_that_would_take_for_ever_is_refused(pattern: str) -> None:
    """Each star doubles the ways in which a path may be taken apart."""
    with pytest.raises(InputError, match="more than two"):
        Classifier({"helm": [pattern]})
