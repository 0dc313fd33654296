"""What a path alone tells: patterns of .gitignore by kind, in four levels.

`NEVER` comes first: what is no infrastructure code wherever it lies. `CERTAIN` are extensions that
nothing else has; they hold below `docs/` and `tests/` as well. `BESIDE` are folders and files of
documents, tests and applications. `PLACES` are names and folders by which tools find their files.
What none of them knows is left to `hints`, and then to the file's content.

Sources are the tools' own references: the file names that they look for by default.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from xops.triggers.measure.classification.kinds import Excluded, Kind

Patterns = Mapping[str, tuple[str, ...]]


def _yaml(*stems: str) -> tuple[str, ...]:
    """Each with both extensions of YAML, so that a look-up by extension finds them."""
    return tuple(f"{stem}.{extension}" for stem in stems for extension in ("yaml", "yml"))


def _below(folders: Iterable[str], *names: str) -> tuple[str, ...]:
    """Files of these names below these folders, at any depth."""
    return tuple(f"**/{folder}/**/{name}" for folder in folders for name in names)


_YAML = ("*.yaml", "*.yml")

NEVER: Final[Patterns] = {
    Excluded.LOCK_FILE: (
        ".terraform.lock.hcl", "Chart.lock", "requirements.lock", "*.lock", "*.lock.yaml",
        "*.lock.json", "*.lock.hcl", "*-lock.json", "*-lock.yaml", "go.sum",
    ),
    Excluded.VENDORED: (
        ".terraform/", ".terragrunt-cache/", ".pulumi/", "node_modules/", "vendor/", "cdk.out/",
        "site-packages/", "__pycache__/", ".serverless/", ".aws-sam/", "third_party/",
        "bower_components/", "cue.mod/", ".venv/", "venv/", "Pods/", "dist/", "botocore/",
    ),
    Excluded.TEST_DATA: (
        "testdata*/", "test-data*/", "test_data*/", "fixtures/", "test-fixtures/",
        "test_fixtures/", "testfixtures/", "__fixtures__/", "__snapshots__/", "__mocks__/",
        "fixture/", "golden/",
    ),
    Excluded.GENERATED: (
        "zz_generated*", "*.pb.go", "*_pb2*.py", "*.generated.*", "*.g.dart", "*.tfstate",
        "*.tfstate.backup", "*.tfplan", "*.min.js", "*.map",
    ),
    Excluded.TOOLING: (
        "**/.github/workflows/", "**/.github/actions/", ".github/ISSUE_TEMPLATE/", ".github/*.yml",
        ".github/*.yaml", ".github/*.json", ".circleci/", ".gitlab-ci*.yml", "*.gitlab-ci.yml",
        ".buildkite/", ".drone.*", ".travis.yml", "bitbucket-pipelines.yml", "Jenkinsfile*",
        "appveyor.yml", "docker-bake*.hcl", "*bake.hcl", ".tflint*.hcl", ".copywrite.hcl",
        ".release/", ".azure-pipelines/", "azure-pipelines/", ".azuredevops/", ".tekton/",
        ".gitlab/ci/", ".gitlab-ci/", ".nx/", ".ci/",
        "Makefile", "*.mk",
        *_yaml("azure-pipelines*", "cloudbuild*", "skaffold*", ".pre-commit-*", "mkdocs",
               "codecov", ".codecov", "renovate", "dependabot", ".golangci", "goreleaser",
               ".goreleaser", ".yamllint", ".prettierrc", ".markdownlint*", ".ansible-lint*",
               ".checkov", ".kube-linter", "lerna", "*.eslintrc", ".stylelintrc",
               ".mergify", ".readthedocs", ".rubocop", ".swiftlint", "lefthook", "catalog-info",
               ".tfsec", ".trivy", ".terraform-docs", ".copier-answers", ".infracost"),
        "renovate.json*", ".renovaterc*", "tsconfig*.json", "package.json", "jest.config.*",
        "jsonnetfile.json", "nx.json", "turbo.json", "lerna.json", ".eslintrc*", ".prettierrc*",
        "webpack.config.*", "vite.config.*", "requirements*.txt", "setup.py", "conftest.py",
        "pyproject.toml", "go.mod", "Cargo.toml", "Pipfile", "Gemfile", "pom.xml", "*.csproj",
        "*.sln",
        ".editorconfig", ".gitignore", ".gitattributes", ".helmignore", ".dockerignore",
        ".releaserc*", ".devcontainer/", ".vscode/", ".idea/", *_yaml("Taskfile"),
        ".yamllint", ".ansible-lint", ".gitkeep", ".terraform-version", "*.code-workspace",
    ),
    Excluded.APPLICATION: (
        *_yaml("pubspec*", "analysis_options", "package", "openapi*", "swagger*", "asyncapi*",
               "*.openapi", "*.swagger", "docker-compose*", "docker-stack*", "compose",
               "compose.*", "*-compose", "pnpm-workspace", "buf", "buf.*", "sqlc",
               "graphql.config", "l10n", "*.installer", "*.locale.*", "codegen",
               "codemagic", "electron-builder*", "lighthouserc", "playwright*", "cypress*",
               "melos", "flutter_launcher_icons*", "crowdin",
               "phpstan*", "dbt_project"),
        "environment.yml",
        "Dockerfile*", "*.dockerfile", "*.Dockerfile", "docker-compose*", "*.tsx", "*.jsx",
        "*.dart", "*.kt", "*.swift", "*.css", "*.scss", "*.html", "*.vue", "*.svelte", "*.png",
        "*.svg", "*.jpg", "*.jpeg", "*.gif", "*.ico", "*.pdf", "*.drawio", "*.woff2", "*.war",
        "*.jar", "*.zip", "*.gz", "*.exe", "*.ipynb", "*.xcassets/",
        "google-services.json", "appsettings*.json",
    ),
    Excluded.DOCUMENT: (
        "*.md", "*.mdx", "*.rst", "*.adoc", "LICENSE*", "CODEOWNERS", "NOTICE", "AUTHORS",
        "CHANGELOG*", "README*", "CONTRIBUTING*", "*.md.gotmpl", "OWNERS", "MAINTAINERS*",
    ),
}  # fmt: skip

CERTAIN: Final[Patterns] = {
    Kind.TERRAGRUNT: ("terragrunt.hcl", "terragrunt.*.hcl", "*.terragrunt.hcl", "root.hcl"),
    Kind.OPENTOFU: ("*.tofu", "*.tofu.json", "*.tofutest.hcl"),
    Kind.PACKER: ("*.pkr.hcl", "*.pkr.json", "*.pkrvars.hcl"),
    Kind.NOMAD: ("*.nomad", "*.nomad.hcl", "*.nomad.tpl", "*.nomad.j2", "*.nomadpack"),
    Kind.TERRAFORM: (
        "*.tf", "*.tf.json", "*.tfvars", "*.tfvars.json", "*.tftest.hcl", "*.tftpl",
        "*.tfbackend", "*.hcl", "*.sentinel",
    ),
    Kind.BICEP: ("*.bicep", "*.bicepparam"),
    Kind.PUPPET: ("*.pp", "*.epp"),
    Kind.SALT: ("*.sls",),
    Kind.CHEF: ("**/cookbooks/**/*.rb", "**/cookbooks/**/*.erb"),
    Kind.TANKA: ("*.jsonnet", "*.libsonnet", "*.jsonnet.TEMPLATE"),
    Kind.CUE: ("*.cue",),
    Kind.KCL: ("*.k",),
    Kind.HELM: ("values.schema.json",),
    Kind.CLOUD_INIT: ("*.bu", "*.ign", "*.ks"),
    Kind.CLOUDFORMATION: (*_yaml("*.cfn"), "*.cfn.json"),
    Kind.DEPLOYMENT_MANAGER: ("*.py.schema", "*.jinja.schema"),
}  # fmt: skip
"""Extensions that nothing but infrastructure code has. One without a slash: at any depth."""

_OF_CLUSTERS = ("k8s", "kubernetes", "clusters", "overlays", "gitops", "argocd", "flux")
_OF_ENVIRONMENTS = ("env*", "inventor*", "stages", "live", "values")
"""Below these `test/` is an environment, and `docs/` what is deployed to one."""

BESIDE: Final[Patterns] = {
    Excluded.DOCUMENT: (
        "docs/", "doc/", "docs-site/", "website/", "dev-docs/",
        *(f"!**/{folder}/{name}/**" for folder in (*_OF_CLUSTERS, "apps")
          for name in ("docs", "website")),
    ),
    Excluded.TEST_DATA: (
        "test/", "tests/", "__tests__/", "e2e/", "spec/", "molecule/", "testing/", "mocks/",
        "*_test.go", "*_test.py", "test_*.py", "*.test.ts", "*.test.js", "*.spec.ts",
        "*.spec.js", "*_spec.rb", "*Test.java", "*Tests.cs", "*_test.yaml", "*_test.yml",
        "**/charts/*/ci/", "!**/templates/tests/**",
        *(f"!**/{folder}/test/**" for folder in (*_OF_CLUSTERS, *_OF_ENVIRONMENTS)),
    ),
    Excluded.APPLICATION: (
        "res/", "locales/", "locale/", "i18n/", "l10n/", "translations/", "lang/",
        "src/main/resources/", "src/test/resources/", "xcassets/", "migrations/",
        "*.schema.json",
    ),
}  # fmt: skip
"""Documents, tests and applications, but for what `CERTAIN` knows."""


def _no_code(folder: str) -> tuple[str, ...]:
    """Programs that lie in a tool's folder at the top of a repository are none of its files."""
    return tuple(f"!{folder}/**/*.{code}" for code in ("go", "ts", "js", "mjs", "py", "java"))


_ROLE = ("tasks", "handlers", "vars", "defaults", "meta", "templates", "files")

PLACES: Final[Patterns] = {
    Kind.PACKER: ("packer.json", "**/packer/**/*.json", *_below(["packer"], *_YAML, "*.sh")),
    Kind.NOMAD: ("nomad/**", *_no_code("nomad"), "**/nomad/**/*.hcl", "**/packs/*/templates/**",
                 "packs/*/*.tpl"),
    Kind.TERRAFORM: (
        ".terraformrc", "terraform.rc", ".spacelift/**", ".terrateam/**",
        *_yaml("digger", "env0", "spacelift", "terrateam", "atmos"),
        *(f"{name}*.{extension}" for name in ("user_data", "userdata", "user-data")
          for extension in ("sh", "tpl", "ps1", "txt", "cfg", "yaml", "yml")),
        *_below(["terraform", "tofu"], *_YAML, "*.json", "*.sh", "*.tpl", "*.tmpl", "*.ps1",
                "*.j2"),
    ),
    Kind.BICEP: ("/azure.yaml", "bicepconfig.json", "**/bicep/**/*.json", *_yaml("**/bicep/**/*")),
    Kind.ARM: (
        "azuredeploy*.json", "mainTemplate.json", "createUiDefinition.json",
        "arm/**/*.json", "**/arm/**/*.json", "**/arm-templates/**/*.json",
        "**/arm_templates/**/*.json", "**/ARM/**/*.json",
    ),
    Kind.PUPPET: ("Puppetfile", *_yaml("hiera", "**/hieradata/**/*")),
    Kind.SALT: (*_below(["salt", "pillar"], "*.jinja", "*.conf", *_YAML), "Saltfile", "map.jinja",
                "pillar.example"),
    Kind.CHEF: ("Berksfile", "Policyfile.rb",
                "**/chef/**/*.rb", "**/chef/**/*.json", "**/data_bags/**/*.json",
                "/recipes/*.rb", "/attributes/*.rb",
                "/metadata.rb", "/resources/*.rb"),
    Kind.TANKA: ("tkrc.yaml", "**/environments/**/spec.json"),
    Kind.KCL: ("kcl.mod",),
    Kind.NIXOS: ("**/nixos/**/*.nix", "**/hosts/**/*.nix", "configuration.nix",
                 "hardware-configuration.nix"),
    Kind.ATLANTIS: _yaml("atlantis", ".atlantis", "atlantis-*", "**/atlantis/**/*",
                          "server-side/repos"),
    Kind.KUSTOMIZE: (*_yaml("kustomization"), "Kustomization"),
    Kind.ARGO: (
        *_below(["argocd", "argo-cd", "argo", ".argo"], *_YAML, "*.json"),
        *_yaml("**/.argocd/**/*", "argocd-*", "root-app", "app-of-apps*", "apps-of-apps*",
               ".argocd-source*", "*appset",
               "applicationset*", "*-applicationset", "appproject*"),
    ),
    Kind.FLUX: (
        *_yaml("flux/**/*", "**/flux-system/**/*", "gotk-*", "helmrelease*", "helm-release*",
               "ocirepository*", "helmrepository*", "gitrepository*", "**/flux/**/*",
               "imagepolicy*", "imagerepository*", "imageupdateautomation*"),
    ),
    Kind.CROSSPLANE: (
        *_yaml("**/crossplane/**/*", "crossplane", "**/compositions/**/*", "composition",
               "composition-*", "*-composition", "xrd", "xrd-*", "*-xrd", "**/xrds/**/*",
               "providerconfig*", "provider-config*", "upbound"),
    ),
    Kind.ANSIBLE: (
        "ansible/**", *_no_code("ansible"), "ansible/**/inventory/*.py",
        "ansible.cfg", "**/filter_plugins/*.py", "/hosts", "**/ansible/**/hosts",
        *_below(["ansible", "playbooks"], *_YAML, "*.j2"),
        "**/group_vars/**", "**/host_vars/**", *_yaml("playbook*", "*-playbook", "*_playbook",
               "*.playbook", "galaxy", "/site",
               "/webservers", "/dbservers"),
        "**/ansible/**/*.ini", "**/ansible/**/*.cfg",
        *(f"**/roles/*/{part}/**" for part in _ROLE),
        *_yaml(*(f"**/{part}/main" for part in _ROLE[:5]), "**/tasks/*", "**/handlers/*"),
        *_yaml(*(f"/{part}/*" for part in ("vars", "defaults", "meta"))),  # a role's repository
        "inventory/**/*.ini", "hosts.ini", *_yaml("inventory/**/*", "**/inventories/**/*",
               "**/inventory/*_ec2", "**/inventory/*_rm", "**/inventory/*gcp*"),
        "**/inventories/**/*.ini", "**/inventory/**/*.ini", "**/inventories/**/hosts",
        "**/inventory/hosts", "inventory.ini", *_yaml("inventory", "hosts"),
        "requirements.yml",
    ),
    Kind.SERVERLESS: (*_yaml("serverless", "serverless.*", "serverless-*"), "serverless.ts",
                      "serverless.js", "serverless.json", "sst.config.ts"),
    Kind.COPILOT: ("copilot/.workspace", *_yaml("copilot/**/*", "**/copilot/*/manifest",
                                               "**/copilot/**/addons/*")),
    Kind.ECS: ("task-definition*.json", "task_definition*.json", "taskdef*.json", "ecs-task*.json",
               "container-definitions*.json", "container_definitions*.json",
               "**/ecs/**/*.json"),
    Kind.CLOUDFORMATION: (
        *_below(["cloudformation", "CloudFormation", "cfn"], *_YAML, "*.json", "*.template"),
        "cloudformation/**", *_no_code("cloudformation"), "samconfig.toml",
        *_yaml("samconfig", "sam", "sam-template"),
        ".ebextensions/**", "*.cform", *_yaml("cloudformation*", "cfn-*"),
    ),
    Kind.DEPLOYMENT_MANAGER: (
        "**/deployment-manager/**", "**/deployment_manager/**", "**/gdm/**", "gcp/**/*.jinja",
        "**/gcp/*.jinja",
    ),
    Kind.CDKTF: ("cdktf.json",),
    Kind.CDK: (
        "cdk.json", "cdk.context.json", "cdk8s.yaml", "cdk/**", "**/cdk/lib/**", "**/cdk/bin/**",
        *(f"!**/{folder}/**" for folder in ("lambda", "lambdas", "functions", "handlers")),
    ),
    Kind.PULUMI: (*_yaml("Pulumi", "Pulumi.*"), "pulumi/**", "!pulumi/sdk/**", "!pulumi/pkg/**"),
    Kind.TALOS: _yaml("**/talos/**/*", "talconfig", "talenv*", "talos-*", "talsecret*"),
    Kind.CLOUD_INIT: (
        "**/cloud-init/**", *_yaml("cloud-init*", "*-cloud-init", "cloud-config*",
                                   "*.cloud-init", "cloudinit*"), "cloud-init*.cfg",
        "ks.cfg", "preseed*.cfg", "user-data", "meta-data",
    ),
    Kind.HELM: (
        "charts/**", "!charts/**/*.js", "!charts/**/*.ts", "!charts/**/*.py",
        *_yaml("Chart"), *_below(["charts", "chart"], *_YAML, "*.tpl", "*.txt"),
        "requirements.yaml",
        *_yaml("values", "values-*", "values.*", "values_*", "*-values", "*.values",
               "helmfile*", "**/helm/**/*", "**/helmfile.d/**/*", "**/helmfile/**/*",
               "**/helm-chart/**/*",
               "**/helm-charts/**/*"),
        "helmfile*.gotmpl", "*.yaml.gotmpl", "values*.gotmpl", "**/templates/**/_*.tpl",
        "**/templates/**/NOTES.txt", *_below(["helm"], "*.tpl", "*.gotmpl"),
        "**/templates/tests/*.yaml",
    ),
    Kind.KUBERNETES: (
        *_yaml("k8s/**/*", "clusters/**/*", "**/k8s/**/*", "**/kubernetes/**/*", "**/kube/**/*",
               "**/clusters/**/*", "**/gitops/**/*", "fleet", "kluctl", ".kluctl", "werf*",
               "**/.k8s/**/*", "**/.kube/**/*", "**/argo-workflows/**/*",
               "**/crds/**/*", "**/kustomize/**/*",
               "**/kubernetes-manifests/**/*", "**/k8s-manifests/**/*"),
        *(f"**/{folder}/**/*.json" for folder in ("k8s", "kubernetes", "clusters")),
        "k8s/**/*.sh",
    ),
    Kind.SOPS: (".sops.yaml", *_yaml("*.enc", "*.sops", "*.encrypted"), "*.enc.json",
                "*.sops.json", "*.enc.env", "*.sops.env"),
}  # fmt: skip
"""Names and folders by which tools find their files."""
