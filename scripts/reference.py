"""Write the pages of docs/reference that follow from the code: the command, the files' schemas.

`python scripts/reference.py` writes them; `tests/contract/test_docs.py` holds that they are up to
date.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from typing import Any

import typer

from xops import cli
from xops.core.errors import ExitCode
from xops.core.files import settings
from xops.ecs import environment
from xops.ecs.environment import PROTECTED, Environment
from xops.github.delivery import FIELDS
from xops.github.policy import ACTIONS, GitHubPolicy
from xops.k3s.cluster_file.cluster import VARIABLE_PREFIX, Cluster
from xops.k3s.k3s_keys import KEYS, ORDER, RELEASES, Effect, Key
from xops.k3s.node import fields as k3s_fields
from xops.k3s.state.diagnosis import PATTERNS, Pattern
from xops.triggers import policy
from xops.triggers.facts import Facts
from xops.triggers.policy import Policy

FOLDER = settings.ROOT / "docs" / "reference"
_NOTE = "<!-- Made by scripts/reference.py; a change here is lost. -->\n"

# What validators check between fields, which no JSON schema can say.
_RULES = (
    f"`deletion_protection` is true in {' and '.join(PROTECTED)}, `replicas.min` at least 2 and"
    " `capacity.on_demand_base` at least 1 for every service there.",
    "`memory` is one that Fargate sells with `cpu`.",
    "`image` names a version; `latest` is refused.",
    "`max` is never below `min`, nor `off_hours_max` below `off_hours_min`.",
    "One of `on_demand_weight` and `spot_weight` is above 0.",
    "A budget above 0 has at least one address in `notify`. `amount` is a quoted decimal.",
    "`network.cidr` is a private block between /16 and /22.",
    "`domain.name` lies within `domain.zone`.",
    "`timezone` is an IANA name. `log_retention_days` is a value that CloudWatch accepts.",
    "`tags` has `owner` and `cost_centre`.",
    "`promise.end` is after `promise.start`.",
    "`flow_runs.cluster` is not `xops-<name>`, which the stack makes for its own services.",
    "`approval.required_for` contains `destroy`.",
)

_CLUSTER_RULES = (
    "There are 1, 3 or 5 servers, together with those of Terraform, with `absent` ones or without:"
    " one of three may be absent while nothing is in its place, and while a fourth is. At least one"
    " is not absent.",
    "Names, addresses (with their port) and private addresses belong to one host each; the nodes"
    " must know each host by an address of its own.",
    "`endpoint.address` is nobody's, and no host lies within `networks.cluster` or"
    " `networks.service`, which do not overlap. Every host's pods take a /24 of the former.",
    "Hosts of different sites need `networks.backend: wireguard-native` (or `none`).",
    "A host with `storage: slow` is an agent.",
    "Labels and taints are ones that a kubelet may give its own node.",
    "`air_gap` and `artifacts` exclude each other.",
    "`k3s.config` and `k3s.agent_config` have no key that xOps sets itself, and none that holds a"
    " secret; the latter none that agents do not know.",
    "`snapshots.s3`: keys come in a pair and go through `config_secret`, the Secret that K3S makes"
    " of a manifest on the servers (mode 0600). A bucket must be named unless Terraform makes it.",
    "A secret is a variable or a file of the operator's secret sources (settings.md). The file is"
    " readable by its owner only; one that others may read is refused.",
    "`hardening.exempt_namespaces` contains `kube-system`.",
    "`approval.required_for` contains `destroy`.",
)

_TRIGGER_RULES = (
    "A threshold is strict: `above: 5` means 6 or more. `leave.at_or_below` is at most"
    " `enter.above`.",
    "`weeks` is never more than `of`. Windows are calendar weeks; an unknown one counts neither"
    " way, unless what is known of it decides.",
    "`beside` has the keys of `enter`. It decides nothing, and a mandate has none.",
    "`name` tells policies apart that share a history: two files of one name are one policy that"
    " was changed. Another name has other activations.",
    "Components that an action or another component names exist. Amounts are quoted decimals.",
    "`github` names at least one repository, by `repositories` or by `select`. One that is named"
    " twice, or under an old name as well, counts once.",
    "Each entry of `select` narrows one organisation, or one person's repositories, down: what it"
    " names must all hold. `team` is the team's slug, `name` a pattern of names without the owner"
    " (`infra-*`). A repository that is made later belongs to it from then on. Forks, and what was"
    " archived before the weeks that are measured, belong to it only if it says so.",
    "An owner may have a `_`, as logins of Enterprise Managed Users do (`mona_acme/infra`), and a"
    " repository begins with any of letter, digit, `.`, `_` and `-`.",
    "`github.bots` are logins or addresses, in which `*` and `?` match as in a shell:"
    " `*-bot@example.com`, `renovate*`.",
    "In `github.kinds` a pattern after `!` takes away what those of its kind match:"
    " `kinds: {helm: ['charts/**', '!charts/testdata/**']}`. A kind has a pattern that is no"
    " negation, and no name of what is excluded (`application`, `document`, `excluded`,"
    " `generated`, `lock_file`, `test_data`, `tooling`, `vendored`).",
    "In `github.exclude` a pattern says what is no infrastructure code, whatever its kind, and one"
    " after `!` what is judged by its kind all the same, also where xOps would exclude it:"
    " `exclude: ['examples/**', '!examples/production/**']`. The last one that matches decides.",
    "Patterns of `github.kinds` and `github.exclude` are those of .gitignore: without braces, with"
    " at most two stars in a part, and two `**`.",
    "The measure `members` counts the members of `people.members_of`, each person once; without"
    " it, as `roster` without `people.roster`, the count is unknown.",
    "With `people.outsiders: false` those do not count of whom GitHub says that they neither own"
    " the repository nor are its members or collaborators. Who may conceal a membership leaves the"
    " count between two bounds, until `people.members_of` names the organisation.",
    "`github.credential` names a variable or a file of the operator's secret sources"
    " (settings.md), and `github.api_url` a host that these allow.",
    "`timezone` is an IANA name.",
)

_READINGS = """
## Two readings of one threshold

ADR-005 says *more than 5 merged pull requests a week*. `enter: {above: 5}` is just that, one week
above, and decides. `beside: {above: 5, weeks: 3, of: 4}` is the damped reading, three of the last
four weeks. It decides nothing: reports show what it would say beside the state, and why the two
differ.

- *One week* protects against a need that is overlooked because its work comes in bursts. Its
  price: one odd week, a migration or a clean-up, proposes Stream 2. A person declines it, and it
  ends after four quiet weeks.
- *3 of 4 weeks* protects against odd weeks: one or two of them never fire it. Its price: it comes
  at least two weeks later, and work with at most two weeks above in any four never fires it,
  however much it is.

Neither goes by the average. 20, 20, 0, 0, again and again, is 10 a week and never fires the damped
reading; 6, 6, 6, 0 is 4.5 a week and does. In the table `...` repeats what stands before it up to
26 weeks, `x4` repeats a week and `_` is a week that nobody could read. The average is that of the
known weeks before the dots. Both readings end as `iac_prs` does: four weeks at or below 3.

| merged a week | average | active by one week (`above: 5`) | active by 3 of 4 |
|---|---|---|---|
| `5 ...` | 5.0 | never | never |
| `6 ...` | 6.0 | from 1 | from 3 |
| `20 20 0 0 ...` | 10.0 | from 1 | never |
| `9 9 5 5 ...` | 7.0 | from 1 | never |
| `6 5 5 5 ...` | 5.2 | from 1 | never |
| `6 6 6 0 ...` | 4.5 | from 1 | from 3 |
| `4 7 7 ...` | 6.0 | from 2 | from 5 |
| `0x3 40 0x22` | 1.5 | 4 to 7 | never |
| `6 0x7 ...` | 0.8 | 1 to 4, 9 to 12, 17 to 20, from 25 | never |
| `8x4 0x22` | 1.2 | 1 to 7 | 3 to 7 |
| `7 _ _ 7 5x22` | 5.2 | from 1 | never |

Engineers are counted over 28 days, which damps already: a visitor who contributes once is seen in
four weekly counts. Three of four weeks would ask nothing more; the damped reading beside
`team_size` is five weeks of six, which one visit never fills.

To let the damped reading decide, exchange the two in the file:

```yaml
enter: {above: 5, weeks: 3, of: 4}
beside: {above: 5}
```

`xops triggers replay` shows first what it would have said of the past. The trigger's history starts
anew with the change, the old one shown beside it. `xops decision score` says from then on that
ADR-005's claim is not covered, and names the window: write down, as a decision of its own, that the
record's words no longer hold. A variable that overlays the file
(`XOPS_TRIGGERS__TRIGGERS__IAC_PRS__ENTER__WEEKS`) changes the verdict too, but nobody reviews it,
and the coverage is that of the file.
"""

_GITHUB_DECISIONS = """
## What is decided, and why

**Whose file.** `pull_requests` counts as it stands on the base branch of a pull request. What the
pull request changes of it, or of `approval` in an environment's file, holds once that is merged: it
is judged by the rules that were there before. Everything else on this page is the operator's
checkout, on the machine that runs receiver, dispatcher and worker.

**Which base branches.** The default branch, or those of `base_branches`. Whoever may push can make
a branch with a `github.yaml` of his or her own, and a pull request against it. So it is the
operator's file that says whose rules count. Against other branches nothing is planned, no comment
is written and no check is reported: a check belongs to the commit, which a pull request against the
default branch may have as well.

**Apply before the merge** (`apply: before_merge`, the default). What fails is seen while the branch
can still be changed, and the base branch holds nothing that could not be applied. Its price: until
it is merged, what runs is ahead of the base branch. The lock keeps other pull requests off that
environment meanwhile. Closed without a merge, it says on the pull request what stays applied.

**Apply after the merge** (`apply: after_merge`). What runs is never ahead of the base branch, as
with a merge queue. Its price: what fails is on the base branch already. The check `xops/apply` then
passes as soon as reviews have released the plan, and the merge applies it if the plan is the same.
What is merged without a review, or became another plan, fails that check and is told.

**A review is always needed**, whatever `approval.required_for` of an environment exempts: an apply
runs what somebody has pushed. It counts if its author is an approver now, no machine, and neither
opened the pull request nor pushed its head commit (where GitHub tells who did: repository activity,
`Contents: read`); if it is of the head commit; and if it was given after its plan was shown, by
GitHub's clock, not within the same second. Each person's last word counts; a comment takes nothing
back, and a review that is dismissed does. An approver who requests changes objects, across pushes,
until he or she says otherwise or the review is dismissed. A review is used once, and for
`approval.valid_hours` of the environment.

**Drafts** are not planned by themselves: they change often, and would hold locks. `xops plan` plans
one, without a lock and without an apply. Its checks wait until it is ready for review; GitHub
merges no draft anyway.

**Forks** are not planned: a plan runs code. The check `xops/plan` fails and says so, since a green
one would let unplanned changes through. Somebody who may push opens the pull request from a branch
of the repository. A fork that touches nothing passes.

**What concerns an environment**: its own file, and everything below `terraform/` but the stacks of
Stream 2, for the environments of `modules_concern`, or all. A list of files that GitHub cuts, at
3,000, concerns all of them. An environment to which the pull request was applied stays concerned
until it is closed: a later commit that takes the change back must not leave it there unseen. A pull
request that touches nothing, or whose plan changes nothing, has two green checks, so that they can
be required.

**New and removed environments.** One whose file is new has no reviewed policy yet: it is not
planned before the merge. The file of one that is removed destroys nothing: `destroy-ecs` does.

**Conflicts.** Planned is GitHub's test merge. Without one the check of the plan fails until the
conflict is settled.

**Locks.** One pull request at a time concerns an environment, from its plan to its merge or close.
The check of another one waits and says who holds it.

**Merge queues.** Both checks of a group pass: its pull requests have passed their own, and locks
let one at a time concern an environment.

**Commands** are the first line of a comment that begins with `xops `: no quotes, no code blocks.
Those of people in neither `commands` nor `approvers`, and of machines, are passed over in silence:
nobody else can make xOps work, or talk. A command never releases anything.

| comment | who | does |
|---|---|---|
| `xops plan` | commands, approvers | plans again; applies nothing |
| `xops apply` | commands, approvers | tries again to apply what reviews have released |
| `xops apply ENVIRONMENT` | commands, approvers | the same, of that environment only |
| `xops unlock` | commands, approvers | releases the locks that this pull request holds |
| `xops unlock ENVIRONMENT` | approvers | releases that lock, whichever pull request holds it |
"""

_GITHUB_RULES = (
    "`hook_of` goes with `hook_id`.",
    "`webhook.secret` and `credential` name a variable or a file of the operator's secret sources"
    " (settings.md); a secret has 32 bytes or more.",
    "`routes.*.actions` are the event's: "
    + "; ".join(f"{event}: {', '.join(sorted(ACTIONS[event])) or 'none'}" for event in ACTIONS)
    + ".",
    "A text in `routes.*.parameters` that is `{FIELD}` as a whole becomes that field of the"
    " delivery and keeps its type: a number is a number, what is not known is null. Within a text"
    f" it is refused. Fields: {', '.join(sorted(FIELDS))}.",
    "A delivery starts each deployment once: the first route that matches counts.",
    "`routes.*.paths` are patterns of .gitignore and go with `push`. A push of which GitHub lists"
    " only a part matches them all.",
    "No route is there twice, and no repository.",
    "A comment that is no command leads to nothing. `membership`, `organization` and `team` always"
    " have team members read anew, and lead to routes as well.",
)

_FACT_RULES = (
    "A week starts on a Monday of `timezone`, is over on `as_of`, and is given once.",
    "A complete week has a total; an incomplete one has none, and a reason. Unknown is null,"
    " never 0.",
    "Where a count is null, `bounds` say between what it lies; equal bounds are a count.",
    "A week that is not given is unknown.",
    "A pull request's `merged_at` lies in its week, on the clocks of the zone.",
    "A mandate `expires` after `effective_from`, and says why where it is not valid.",
    "`timezone` is the policy's: counts of other weeks cannot be converted.",
)


def main() -> None:
    """Write every page."""
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


def pages() -> dict[str, str]:
    """The text of each page by its file's name."""
    made = {
        "cli.md": _cli(),
        "environment-file.md": _environment_file(),
        "cluster-file.md": _cluster_file(),
        "k3s-causes.md": _causes(),
        "k3s-keys.md": _k3s_keys(),
        "triggers-file.md": _triggers_file(),
        "facts-file.md": _facts_file(),
        "github-file.md": _github_file(),
    }
    return {name: "\n".join(lines) for name, lines in made.items()}


def _cli() -> Iterator[str]:
    yield f"{_NOTE}\n# The `xops` command\n"
    yield "The flows' work from a shell, through the same library. `make install` puts it at"
    yield "`.venv/bin/xops`. Progress goes to stderr, the result to stdout. `xops --version` prints"
    yield "the versions of xOps, Python and Prefect.\n"
    yield from exit_codes()
    yield "\nWith `--json` an error is an object on stdout as well: `error`, `attempted`, `found`,"
    yield "`remedy`, `temporary`, and `findings` for bad input."
    yield from _commands("xops", typer.main.get_command(cli.app))
    yield ""


def exit_codes() -> Iterator[str]:
    """The table of exit codes, as README has it too."""
    yield "| exit code | means |\n|---|---|"
    yield from (f"| {code} | {code.meaning} |" for code in ExitCode)


def _commands(path: str, command: Any) -> Iterator[str]:
    for name, inner in getattr(command, "commands", {}).items():
        if hasattr(inner, "commands"):
            yield from _commands(f"{path} {name}", inner)
        else:
            yield f"\n## `{path} {name}`\n\n{_plain(inner.help)}"
            yield from _options(inner.params)


def _options(params: list[Any]) -> Iterator[str]:
    if params:
        yield "\n| option | value | meaning |\n|---|---|---|"
    for param in params:
        needed = " Required." if param.required else ""
        value = _value(param.type_descriptor.annotation)
        yield f"| {_spelling(param)} | {value} | {param.help}{needed} |"


def _spelling(param: Any) -> str:
    """An option by its flags; an argument in capitals, as the help shows it."""
    if param.param_type_name == "argument":
        return f"`{(param.metavar or param.name).upper()}`"
    return ", ".join(f"`{opt}`" for opt in param.opts)


def _value(annotation: Any) -> str:
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return ", ".join(f"`{member.value}`" for member in annotation)
    return "" if annotation is bool else "text"


def _environment_file() -> Iterator[str]:
    yield f"{_NOTE}\n# The environment file\n"
    yield "`deployments/environments/<name>.yaml`. Editors find the schema beside it"
    yield "(`schema.json`). A wrong file gives all its errors at once, each with path and line.\n"
    yield from _layers(environment.VARIABLE_PREFIX, "SERVICES__CREW__CPU=2048", "services.crew.cpu")
    yield from _schema_tables(Environment.model_json_schema())
    yield from _rules(_RULES)


def _cluster_file() -> Iterator[str]:
    yield f"{_NOTE}\n# The cluster file\n"
    yield "`deployments/clusters/<name>.yaml`, or a file anywhere that has the cluster's name."
    yield "Editors find the schema beside it (`schema.json`). A wrong file gives all its errors at"
    yield "once, each with path and line. Paths are relative to the file's folder, `~` is the"
    yield "person's. No secret stands in the file, only where it is read from.\n"
    yield from _layers(VARIABLE_PREFIX, "SSH__PORT=2222", "ssh.port")
    yield from _schema_tables(Cluster.model_json_schema())
    yield from _rules(_CLUSTER_RULES)


def _triggers_file() -> Iterator[str]:
    yield f"{_NOTE}\n# The triggers file\n"
    yield "`deployments/triggers.yaml`: when Stream 2 is activated. Editors find the schema beside"
    yield "it (`triggers.schema.json`). A wrong file gives all its errors at once, each with path"
    yield "and line. Paths are relative to the file's folder. No secret stands in it.\n"
    yield from _layers(
        policy.VARIABLE_PREFIX, "TRIGGERS__IAC_PRS__ENTER__ABOVE=6", "triggers.iac_prs.enter.above"
    )
    yield from _schema_tables(Policy.model_json_schema())
    yield _READINGS.rstrip()
    yield from _rules(_TRIGGER_RULES)


def _facts_file() -> Iterator[str]:
    yield f"{_NOTE}\n# The facts file\n"
    yield "What an evaluation knows, as JSON or YAML; with `--facts` it replaces GitHub entirely."
    yield "The schema is `deployments/facts.schema.json`. No environment variable lies over it."
    yield from _schema_tables(Facts.model_json_schema())
    yield from _rules(_FACT_RULES)


def _github_file() -> Iterator[str]:
    yield f"{_NOTE}\n# The GitHub file\n"
    yield "`deployments/github.yaml`: what deliveries of GitHub lead to, and how pull requests are"
    yield "planned, approved and applied ([how to](../how-to/github-webhooks.md)). Editors find the"
    yield "schema beside it (`github.schema.json`). A wrong file gives all its errors at once, each"
    yield "with path and line. No environment variable lies over it: it is what was reviewed."
    yield "`XOPS_GITHUB_FILE` names another file. No secret stands in it."
    yield from _schema_tables(GitHubPolicy.model_json_schema())
    yield _GITHUB_DECISIONS.rstrip()
    yield from _rules(_GITHUB_RULES)


def _layers(prefix: str, example: str, path: str) -> Iterator[str]:
    yield "Values come from four layers, each over the one before: the defaults below, the file,"
    yield f"environment variables (`{prefix}{example}` sets"
    yield f"`{path}`; values are YAML), arguments of the command."


def _rules(rules: Iterable[str]) -> Iterator[str]:
    yield "\n## Rules that no single key shows\n"
    yield from (f"- {rule}" for rule in rules)
    yield ""


def _causes() -> Iterator[str]:
    yield f"{_NOTE}\n# Why a host fails\n"
    yield "Log lines of K3S, etcd and kubelet that are recognised when a host does not become"
    yield "ready, each with what to do. Words in capitals are replaced by what the line says. What"
    yield "usually follows from another cause is listed, and told, last."
    for pattern in sorted(PATTERNS, key=lambda pattern: pattern.is_symptom):
        yield from _cause(pattern)
    yield ""


def _cause(pattern: Pattern) -> Iterator[str]:
    yield f"\n## {pattern.code}\n\n{pattern.title[0].upper()}{pattern.title[1:]}."
    yield ""
    yield re.sub(r"\{(\w+)\}", lambda name: name[1].upper(), pattern.remedy)
    yield f"\nSource: <{pattern.source}>"


def _k3s_keys() -> Iterator[str]:
    yield f"{_NOTE}\n# What a change does\n"
    yield "Each change to a cluster has an effect on hosts that run:\n"
    yield "| effect | means |\n|---|---|"
    yield from (f"| {effect} | {_EFFECTS[effect]} |" for effect in Effect)
    yield "\nA difference that is fixed at birth, or takes a rejoin, is refused before anything is"
    yield "changed; what would have to happen is said. A key that K3S does not know is found before"
    yield "it is written: a server would skip it, an agent would not start."
    yield "\nA plan says the same of each key that differs on a host, in the reason of the line of"
    yield "its `config.yaml`, the strongest first: `differs; tls-san: restart (...); node-label: in"
    yield "place (...)`."
    yield "\n## Fields of the cluster file\n\n| field | effect | what is changed |\n|---|---|---|"
    for field in k3s_fields.FIELDS.values():
        yield f"| `{field.path}` | {field.effect} | {field.what} |"
    yield "\n## Keys of K3S's config.yaml\n"
    yield f"All that K3S of {', '.join(RELEASES)} knows. Sources are files of"
    yield "[k3s-io/k3s](https://github.com/k3s-io/k3s)."
    yield "\n| key | effect | why | source |\n|---|---|---|---|"
    for effect in reversed(ORDER):
        yield from (_k3s_key(key) for key in KEYS.values() if key.effect is effect)
    yield "\n## What would have to happen\n"
    for key in KEYS.values():
        if key.instead:
            yield f"- `{key.name}`: {key.instead}"
    yield ""


_EFFECTS = {
    Effect.IN_PLACE: "written, or set through the API; nothing is interrupted",
    Effect.RESTART: "K3S of the host is restarted, servers one by one",
    Effect.REJOIN: "the host would have to be taken out and join anew: refused",
    Effect.FIXED: "K3S does not change it on a cluster that lives: refused",
}


def _k3s_key(key: Key) -> str:
    effect = f"{key.effect}; agents: {key.of_agents}" if key.of_agents else str(key.effect)
    roles = "" if len(key.roles) > 1 else f" ({key.roles[0]}s)"
    since = f"; since {', '.join(key.since)}" if key.since else ""
    is_said = not key.followed or "agents take" in key.reason
    why = key.reason if is_said else f"{key.reason}; agents take it at their own next start"
    return f"| `{key.name}`{roles} | {effect} | {why}{since} | `{key.source}` |"


def _schema_tables(schema: Mapping[str, Any]) -> Iterator[str]:
    yield from _table("", schema, schema["$defs"], set())


def _table(
    path: str, model: Mapping[str, Any], models: Mapping[str, Any], seen: set[str], which: str = ""
) -> Iterator[str]:
    title = f"`{path}`{which}" if path else "Top level"
    yield f"\n## {title}\n"
    if path:
        yield f"{_plain(model.get('description', ''))}\n"
    yield "| key | value | default | |\n|---|---|---|---|"
    below = []
    for name, field in model["properties"].items():
        if field.get("type") == "null":  # a key of another kind
            continue
        kind, step = _inner_model(field, models)
        kinds = _kinds(field)
        if kind:
            below.append((name + step, kind, ""))
        place = name if "patternProperties" not in field else f"{name}.*"
        below += [(place, each, f" with {_told_by(models[each])}") for each in kinds]
        nested = bool(kinds or kind)
        value = "see below" if nested else _kind(field, models)
        default = _default(name, field, model, nested=nested and not step)
        yield f"| `{name}` | {value} | {default} | {_plain(field.get('description', ''))} |"
    for name, kind, which in below:
        if kind not in seen:
            seen.add(kind)
            yield from _table(_place(path, name, kind), models[kind], models, seen, which)


def _kinds(field: Mapping[str, Any]) -> list[str]:
    """The models of which a field holds one, none where it has no kinds."""
    held = (field, *field.get("anyOf", ()), *field.get("patternProperties", {}).values())
    unions = [option["oneOf"] for option in held if "oneOf" in option]
    return [_model_name(option) for options in unions for option in options]


def _told_by(model: Mapping[str, Any]) -> str:
    """What tells a kind from the others: the value of one key, or else a key that it needs."""
    for name, field in model["properties"].items():
        if values := field.get("enum") or ([field["const"]] if "const" in field else []):
            return f"`{name}: {' or '.join(values)}`"
    return f"`{model['required'][0]}`"


def _inner_model(field: Mapping[str, Any], models: Mapping[str, Any]) -> tuple[str, str]:
    """The model that a field holds, and how its values are reached: `.*` in a mapping or list."""
    patterns = field.get("patternProperties", {}).values()
    lists = [option.get("items") for option in (field, *field.get("anyOf", ()))]
    inner = [field.get("additionalProperties"), *lists, *patterns]
    for held, step in [(field, ""), *((option, ".*") for option in inner)]:
        kind = _model_name(held) if isinstance(held, dict) else ""
        if "properties" in models.get(kind, {}):
            return kind, step
    return "", ""


def _place(path: str, name: str, kind: str) -> str:
    # Both services have the same shape: it is shown once.
    name = "*" if kind == "EcsService" else name
    return f"{path}.{name}" if path else name


def _model_name(field: Mapping[str, Any]) -> str:
    reference = field.get("$ref") or next(
        (option["$ref"] for option in field.get("anyOf", ()) if "$ref" in option), ""
    )
    return str(reference).rpartition("/")[2]


def _kind(field: Mapping[str, Any], models: Mapping[str, Any]) -> str:
    """A field's type and limits in a few words."""
    if options := field.get("anyOf"):
        kinds = [option for option in options if option.get("type") not in ("null", "number")]
        return _kind(kinds[0], models)
    if name := _model_name(field):
        return _kind(models[name], models)
    if values := field.get("enum") or ([field["const"]] if "const" in field else None):
        return ", ".join(f"`{value}`" for value in values)
    if field["type"] == "array":
        return f"list of {_kind(field['items'], models)}"
    names = {"object": "mapping of texts", "string": "text", "boolean": "true, false"}
    return names.get(field["type"], str(field["type"])) + _limits(field)


def _limits(field: Mapping[str, Any]) -> str:
    if "minimum" in field and "maximum" in field:
        return f", {field['minimum']} to {field['maximum']}"
    return ""


def _default(name: str, field: Mapping[str, Any], model: Mapping[str, Any], *, nested: bool) -> str:
    if name in model.get("required", ()):
        return "required"
    value = field.get("default")
    if nested:
        return "none" if value is None else "as below"
    return "none" if value is None else f"`{json.dumps(value)}`"


def _plain(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    main()
