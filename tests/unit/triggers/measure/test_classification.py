"""Which paths are infrastructure code."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import pytest

from xops.core.errors import InputError
from xops.triggers.measure.classification import Classifier, Excluded, Kind, Matched, hints
from xops.triggers.measure.classification.kinds import POLICY
from xops.triggers.patterns import RESERVED

DEFAULT = Classifier()

KINDS = {
    "main.tf": Kind.TERRAFORM,
    "modules/vpc/variables.tf.json": Kind.TERRAFORM,
    "env/prod.tfvars": Kind.TERRAFORM,
    "main.tf.j2": Kind.TERRAFORM,
    "vault/policies/admin.hcl": Kind.TERRAFORM,
    "infra/user_data.sh": Kind.TERRAFORM,
    "infra/docs/bucket.tf": Kind.TERRAFORM,
    "modules/docs/main.tf": Kind.TERRAFORM,
    "tests/eks/main.tf": Kind.TERRAFORM,
    "packer/image.pkr.hcl": Kind.PACKER,
    "images/base.pkr.json": Kind.PACKER,
    "main.tofu": Kind.OPENTOFU,
    "live/prod/terragrunt.hcl": Kind.TERRAGRUNT,
    "jobs/web.nomad": Kind.NOMAD,
    "jobs/web.nomad.hcl": Kind.NOMAD,
    "infra/main.bicep": Kind.BICEP,
    "infra/main.bicepparam": Kind.BICEP,
    "arm/templates/mainTemplate.json": Kind.ARM,
    "azuredeploy.json": Kind.ARM,
    "charts/web/templates/deployment.yaml": Kind.HELM,
    "charts/web/templates/tests/connection.yaml": Kind.HELM,
    "infra/charts/app/templates/ingress.yaml": Kind.HELM,
    "services/web/Chart.yaml": Kind.HELM,
    "services/web/values-prod.yaml": Kind.HELM,
    "helmfile.yaml.gotmpl": Kind.HELM,
    "overlays/prod/kustomization.yaml": Kind.KUSTOMIZE,
    "overlays/prod/kustomization.yml": Kind.KUSTOMIZE,
    "k8s/web/deployment.yaml": Kind.KUBERNETES,
    "k8s/namespace.yml": Kind.KUBERNETES,
    "k8s/deploy.json": Kind.KUBERNETES,
    "services/web/k8s/deployment.yaml": Kind.KUBERNETES,
    "argocd/projects/web.yaml": Kind.ARGO,
    "root-app.yaml": Kind.ARGO,
    "crossplane/compositions/rds.yaml": Kind.CROSSPLANE,
    "clusters/prod/flux-system/gotk-sync.yaml": Kind.FLUX,
    "ansible/site.yml": Kind.ANSIBLE,
    "ansible/roles/web/tasks/main.yml": Kind.ANSIBLE,
    "roles/x/tasks/main.yml": Kind.ANSIBLE,
    "roles/x/templates/nginx.conf.j2": Kind.ANSIBLE,
    "site.yml": Kind.ANSIBLE,
    "inventory/hosts.ini": Kind.ANSIBLE,
    "host_vars/web1.yml": Kind.ANSIBLE,
    "cloudformation/stack.json": Kind.CLOUDFORMATION,
    "samconfig.toml": Kind.CLOUDFORMATION,
    "infra/cdk.json": Kind.CDK,
    "cdktf.json": Kind.CDKTF,
    "Pulumi.prod.yaml": Kind.PULUMI,
    "services/api/serverless.ts": Kind.SERVERLESS,
    "copilot/api/manifest.yml": Kind.COPILOT,
    "ecs/task-definition.json": Kind.ECS,
    "secrets/prod.enc.yaml": Kind.SOPS,
    "atlantis.yaml": Kind.ATLANTIS,
    "talos/patches/machine.yaml": Kind.TALOS,
    "cloud-init/web.yaml": Kind.CLOUD_INIT,
    "cue/app.cue": Kind.CUE,
    "environments/default/main.jsonnet": Kind.TANKA,
    "gcp/deployment.jinja": Kind.DEPLOYMENT_MANAGER,
    "puppet/manifests/init.pp": Kind.PUPPET,
    "copilot/environments/test/manifest.yml": Kind.COPILOT,
    "overlays/test/kustomization.yaml": Kind.KUSTOMIZE,
    "k8s/docs/deployment.yaml": Kind.KUBERNETES,
    "charts/web/values.schema.json": Kind.HELM,
    "vars/Debian.yml": Kind.ANSIBLE,
    "cookbooks/web/recipes/default.rb": Kind.CHEF,
    "vm/instance.py.schema": Kind.DEPLOYMENT_MANAGER,
    ".k8s/web.yaml": Kind.KUBERNETES,
    "fleet.yaml": Kind.KUBERNETES,
    "salt/top.sls": Kind.SALT,
}
"""What the path alone settles."""

LIKELY = {
    "apps/web.yaml": Kind.KUBERNETES,
    "base/deployment.yaml": Kind.KUBERNETES,
    "monitoring/prometheusrule.yaml": Kind.KUBERNETES,
    "aws/eks.yaml": Kind.KUBERNETES,
    "apis/database/definition.yaml": Kind.CROSSPLANE,
    "template.yaml": Kind.CLOUDFORMATION,
    "stacks/vpc.template": Kind.CLOUDFORMATION,
    "lib/api-stack.ts": Kind.CDK,
    "infrastructure/src/index.ts": Kind.PULUMI,
    "infrastructure/cdk/src/Infra/Program.cs": Kind.PULUMI,
    "aws-ts-eks/vpc.ts": Kind.PULUMI,
    "shop/bin/shop.ts": Kind.CDK,
    "network-policy.yaml": Kind.KUBERNETES,
    "cert-manager.yaml": Kind.KUBERNETES,
    "config/manager/manager.yaml": Kind.KUBERNETES,
    "eu-west-1/vpn.yaml": Kind.KUBERNETES,
    "prod/web.yaml": Kind.KUBERNETES,
    "policies/deny.rego": Kind.TERRAFORM,
    "iam-policy.json": Kind.CLOUDFORMATION,
    "provision.yml": Kind.ANSIBLE,
    "resource/ServerlessSecurityGroup.yml": Kind.CLOUDFORMATION,
    "infra/index.ts": Kind.PULUMI,
}
"""The best judgement of the path, which the content may correct."""

NEITHER = [
    "src/main.py", "src/charts/BarChart.tsx", "src/apps/config.yaml", "app/values.py",
    "main.tf.bak", "terraform", "values.yaml.md.txt", "tfvars", ".github/workflows/ci.yaml",
    "examples/web/.github/workflows/ci.yaml", "docker-bake.hcl", ".tflint.hcl",
    "src/app/templates/email.tpl", "android/res/values-de.yml", "apps/web/.eslintrc.yml",
    "apps/mobile/pubspec.yaml", "apps/web/docker-compose.yml", "manifests/npm/package.yaml",
    "argo-cd/util.go", "apps/api/openapi.yaml", "apps/api/config/routes.yaml",
    "src/main/resources/application.yml", "src/orders/infrastructure/db.ts",
    "internal/terraform/plan.go", "kubernetes/client.go", "src/models/user_data.py",
    "public/manifest.json", "web/i18n/en.json", "extension/manifest.json", "api/v1/service.yaml",
    "schemas/HttpRoute.yaml", "src/services/service.yaml", "content/kubernetes.yaml",
    "apps/api/application.yml", "apps/mobile/l10n.yaml", "apps/site/_config.yml",
    "src/navigation/AuthStack.ts", "nomad/client/driver.go", "cloudformation/src/handler.js",
    "ansible/app.py", "cdk/lambda/index.ts", "services/inventory/products.yaml",
    "azure-pipelines/deploy.yml",
]  # fmt: skip
"""Programs, their data and their tools."""

EXCLUDED = {
    "terraform/stacks/x/.terraform.lock.hcl": Excluded.LOCK_FILE,
    "charts/web/Chart.lock": Excluded.LOCK_FILE,
    "deploy/pnpm-lock.yaml": Excluded.LOCK_FILE,
    "modules/vpc/README.md": Excluded.DOCUMENT,
    "docs/k8s/deployment.yaml": Excluded.DOCUMENT,
    "infra/docs/network.md": Excluded.DOCUMENT,
    ".terraform/modules/vpc/main.tf": Excluded.VENDORED,
    "infra/node_modules/x/index.ts": Excluded.VENDORED,
    "tests/fixtures/main.tf": Excluded.TEST_DATA,
    "internal/provider/testdata/main.tf": Excluded.TEST_DATA,
    "test/e2e/manifests/composition.yaml": Excluded.TEST_DATA,
    "charts/web/tests/ingress_test.yaml": Excluded.TEST_DATA,
}

PLAIN = set(Kind) - {
    Kind.ANSIBLE, Kind.CDK, Kind.CLOUDFORMATION, Kind.HELM, Kind.NOMAD, Kind.PULUMI,
}  # fmt: skip
"""Kinds whose patterns have no negation."""


class Files:
    """A repository as a dictionary, which counts what it is asked."""

    def __init__(self, files: Mapping[str, str | None], refuse: Sequence[str] = ()) -> None:
        self.files = files
        self.refuse = refuse
        self.asked: list[list[str]] = []

    def texts(self, paths: Sequence[str]) -> Mapping[str, str | None]:
        self.asked.append(list(paths))
        return {path: self.files.get(path) for path in paths if path not in self.refuse}


@pytest.mark.parametrize(("path", "kind"), KINDS.items())
def test_infrastructure_code_is_known_by_its_path(path: str, kind: Kind) -> None:
    judgement = DEFAULT.judge(path)
    assert (judgement.kind, judgement.certain) == (kind, True)
    assert DEFAULT.infrastructure(path) == kind


@pytest.mark.parametrize(("path", "kind"), LIKELY.items())
def test_a_path_that_suggests_a_kind_is_judged_so_and_is_open(path: str, kind: Kind) -> None:
    judgement = DEFAULT.judge(path)
    assert (judgement.kind, judgement.certain) == (kind, False)


@pytest.mark.parametrize("path", NEITHER)
def test_other_paths_are_none(path: str) -> None:
    assert DEFAULT.infrastructure(path) is None


@pytest.mark.parametrize(("path", "excluded"), EXCLUDED.items())
def test_what_lies_beside_infrastructure_code_is_excluded(path: str, excluded: Excluded) -> None:
    assert DEFAULT.kind(path) == excluded
    assert DEFAULT.infrastructure(path) is None


def test_a_path_that_decides_asks_for_no_content() -> None:
    files = Files({})
    matched = DEFAULT.matched(["main.tf", "apps/web.yaml", "src/x.py"], files)
    assert matched == Matched({"main.tf": "terraform"}, ("apps/web.yaml",))
    assert files.asked == []


def test_paths_that_no_content_could_change_ask_for_none() -> None:
    files = Files({})
    assert DEFAULT.matched(["README.md", "src/x.py", "package.json"], files) == Matched({}, ())
    assert files.asked == []


def test_without_the_files_an_open_path_stays_open() -> None:
    assert DEFAULT.matched(["apps/web.yaml"]) == Matched({}, ("apps/web.yaml",))


def test_content_settles_what_the_path_leaves_open() -> None:
    manifest = "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\n"
    files = Files({"x/web.yaml": manifest, "x/menu.yaml": "soup: 3\n"})
    matched = DEFAULT.matched(["x/web.yaml", "x/menu.yaml"], files)
    assert matched.kinds == {"x/web.yaml": "kubernetes"}
    assert len(files.asked) == 1


def test_content_overrides_what_the_path_suggests() -> None:
    files = Files({"apps/web.yaml": "routes:\n  - /\n"})
    assert DEFAULT.matched(["apps/web.yaml"], files) == Matched({}, ())


def test_a_file_that_is_gone_is_judged_by_its_path() -> None:
    matched = DEFAULT.matched(["base/deployment.yaml", "x/menu.yaml"], Files({}))
    assert matched == Matched({"base/deployment.yaml": "kubernetes"}, ())


def test_a_file_that_cannot_be_read_stays_open() -> None:
    files = Files({}, refuse=["base/deployment.yaml"])
    assert DEFAULT.matched(["base/deployment.yaml"], files).open == ("base/deployment.yaml",)


def test_a_marker_that_cannot_be_read_leaves_the_path_open() -> None:
    files = Files({"shop/vpc.ts": "export const x = 1\n"}, refuse=["shop/Pulumi.yaml"])
    assert DEFAULT.matched(["shop/vpc.ts"], files).open == ("shop/vpc.ts",)


@pytest.mark.parametrize(
    ("path", "marker", "kind"),
    [
        ("aws-ts-x/vpc.ts", "aws-ts-x/Pulumi.yaml", "pulumi"),
        ("aws-py-x/network/__init__.py", "aws-py-x/Pulumi.yaml", "pulumi"),
        ("shop/lib/queue.ts", "shop/cdk.json", "cdk"),
        ("web/ingress-patch.yaml", "web/kustomization.yaml", "kubernetes"),
        ("deploy/web/templates/note.tpl", "deploy/web/Chart.yaml", "helm"),
        ("setup/templates/motd.txt", "setup/ansible.cfg", "ansible"),
        ("network/data/subnets/a.yaml", "network/main.tf", "terraform"),
        ("apache/files/apache.jinja", "apache/init.sls", "salt"),
        ("templates/vhost.erb", "manifests/init.pp", "puppet"),
    ],
)
def test_a_marker_above_a_path_settles_it(path: str, marker: str, kind: str) -> None:
    files = Files({path: "x = 1\n", marker: ""})
    assert DEFAULT.matched([path], files).kinds == {path: kind}
    assert len(files.asked) <= 2
    assert DEFAULT.matched([path], Files({path: "x = 1\n"})).kinds in ({}, {path: kind})


@pytest.mark.parametrize(
    "path", ["aws-ts-x/app/server.ts", "aws-ts-x/lambda/index.ts", "aws-ts-x/www/site.js"]
)
def test_the_application_that_a_program_deploys_is_not_the_program(path: str) -> None:
    files = Files({path: "x = 1\n", "aws-ts-x/Pulumi.yaml": ""})
    assert DEFAULT.matched([path], files) == Matched({}, ())


def test_many_open_paths_are_asked_for_in_two_bounded_questions() -> None:
    files = Files({})
    paths = [f"x/{number}/menu.yaml" for number in range(500)]
    files.files = dict.fromkeys(paths, "soup: 3\n")
    matched = DEFAULT.matched(paths, files)
    assert len(files.asked) == 2
    assert all(len(asked) <= 200 for asked in files.asked)
    assert len(matched.open) >= 400  # nobody looked at them, so nobody says what they are


def test_a_kind_of_ones_own_replaces_or_adds() -> None:
    own = Classifier({"helm": ["only/**"], "nomad_pack": ["*.pack"]})
    assert own.infrastructure("only/x") == "helm"
    assert own.infrastructure("charts/a/x.txt") is None
    assert own.matched(["a.pack", "x.py", "README.md"]).kinds == {"a.pack": "nomad_pack"}


def test_content_says_nothing_of_a_kind_whose_patterns_are_ones_own() -> None:
    own = Classifier({"kubernetes": ["live/**"]})
    manifest = "apiVersion: v1\nkind: Service\nmetadata:\n"
    assert own.matched(["x/web.yaml"], Files({"x/web.yaml": manifest})).kinds == {}
    assert own.infrastructure("base/deployment.yaml") is None


def test_a_negation_takes_paths_out_of_one_kind() -> None:
    own = Classifier({"terraform": ["*.tf", "!sandbox/**"], "play": ["sandbox/**"]})
    assert own.infrastructure("prod/main.tf") == "terraform"
    assert own.infrastructure("sandbox/main.tf") == "play"


def test_exclude_takes_paths_out_of_every_kind_and_negations_put_them_back() -> None:
    own = Classifier(exclude=["examples/", "!examples/live/**", "!docs/k8s/**"])
    assert own.kind("examples/a/main.tf") == POLICY
    assert own.infrastructure("examples/a/main.tf") is None
    assert own.infrastructure("main.tf") == "terraform"
    assert own.infrastructure("docs/k8s/web.yaml") == "kubernetes"


@pytest.mark.parametrize(
    "path", ["k8s/" * 50 + "a.yaml", "k8s/" + "." * 300, "k8s/" * 200_000 + "a.go"]
)
def test_a_path_that_no_file_can_have_hangs_nothing(path: str) -> None:
    begun = time.process_time()
    judgement = DEFAULT.judge(path)
    assert (judgement.kind, judgement.certain) == (None, True)
    assert time.process_time() - begun < 5


def test_the_deepest_path_that_is_judged_hangs_nothing() -> None:
    begun = time.process_time()
    DEFAULT.judge("terraform/" * 39 + "." * 240)
    assert time.process_time() - begun < 5


def test_excluded_paths_are_not_asked_for() -> None:
    files = Files({})
    own = Classifier(exclude=["*.yaml"])
    assert own.matched(["base/deployment.yaml"], files) == Matched({}, ())
    assert files.asked == []


def test_every_wrong_pattern_is_named() -> None:
    with pytest.raises(InputError) as error:
        Classifier({"helm": ["!x", "ok/**", "", "{a,b}/**", "# no"]}, ["!", "ok"])
    assert [(finding.source, finding.path) for finding in error.value.findings] == [
        ("github.kinds", "helm.2"), ("github.kinds", "helm.3"), ("github.kinds", "helm.4"),
        ("github.exclude", "0"),
    ]  # fmt: skip


def test_the_names_of_what_is_excluded_are_reserved() -> None:
    assert {*Excluded, POLICY} == RESERVED
    with pytest.raises(InputError, match="lock_file"):
        Classifier({"lock_file": ["*.tf"]})


def test_every_set_of_words_is_in_the_digest() -> None:
    written: dict[str, object] = hints.document()
    sets = written["sets"]
    assert isinstance(sets, list)
    words = {name: value for name, value in vars(hints).items() if isinstance(value, frozenset)}
    assert [name for name, value in words.items() if sorted(value) not in sets] == []


def test_the_digest_follows_everything_that_decides() -> None:
    digests = {
        Classifier().digest,
        Classifier({"helm": ["x/**"]}).digest,
        Classifier({"helm": ["x/**", "!x/y"]}).digest,
        Classifier(exclude=["x/**"]).digest,
    }
    assert len(digests) == 4
    assert Classifier().digest == Classifier({}, ()).digest
