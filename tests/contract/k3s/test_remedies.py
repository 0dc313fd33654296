"""No advice takes data, a node or a Secret away on the strength of one symptom.

A line of a log, or an error, tells what was met, not whether it counts. So no text of `xops.k3s`
that a person reads has a command that deletes, moves away or resets, nor asks for it in words,
but the few below: each stands behind facts that exclude that what goes counts. The pages of
`docs/` have such commands only after the step that makes sure.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache

import pytest

from xops.core.files.settings import ROOT
from xops.k3s.k3s_keys import KEYS
from xops.k3s.state.diagnosis import PATTERNS, Pattern

COMMANDS = re.compile(
    r"(?<![-\w])(rm|rmi|rmdir|mv|shred|unlink|truncate|wipefs|mkfs(\.\w+)?)\s+[-/<\"'$~{\w.]"
    r"|-delete\b|--prune\b|--force\b"
    r"|\bkubectl\b[^`\n]{0,80}?\b(delete|replace)\b"
    r"|\bdelete\s+(node|nodes|secret|secrets|pod|pods|pv|pvc|ns|namespace|all)\b"
    r"|\bmembers? remove\b|\bmove-leader\b|--?cluster-reset\b"
    r"|\b(uninstall|killall|wipe|reset)[\w-]*\.sh\b|\b(apt|apk|dnf|yum) (remove|purge|del)\b"
    r"|\bsnapshot (delete|prune)\b|\bctr\b.{0,30}\b(rm|remove|delete)\b"
)
"""Commands that take something away."""

WORDS = re.compile(
    r"\b([Rr]emove|[Dd]elete|[Ee]rase|[Ww]ipe|[Dd]iscard|[Rr]eset|[Uu]ninstall|[Mm]ove)\b"
)
"""What asks a person for it; `removes` and `removed` tell what something does by itself."""

PROGRAMS = {"xops/k3s/ssh/remote_programs.py"}
"""What hosts run, of one file that was just written or locked; nobody is told to type it."""

GATED = {
    # What xops.k3s tells people, by text: why it may.
    "`k3s kubectl delete node {}`": "_unlisted_remedy: not Ready, no host's, and etcd keeps its"
    " quorum without it",
    "Do not delete the node: K3S would remove the living host with it": "it says not to",
    "`rm /etc/machine-id; systemd-machine-id-setup`": "_unique: two hosts have the same one",
    "`rm {}`: K3S then imports every archive": "_image_cache: K3S's own note, with a release that"
    " lets the kubelet delete images because of it",
    "and move {}/agent and /etc/rancher/node aside": "_merge_remedy: no host of that cluster here"
    " holds etcd's data or a database",
    "and move {} and /etc/rancher/node aside": "_agents_of_nobody: no server has data; it is said"
    " that a snapshot is restored first, and volumes are named",
    "Move {}, {} and {} out of {}": "tokens: the servers run with others, which come in their"
    " place",
    "move {} out of {}": "tokens: the file here that names the cluster; hosts are untouched",
    "Move it aside once `xops k3s status` shows the cluster": "tokens: the same file, unreadable",
    "Move it aside: the next `xops k3s apply` fetches it anew": "the kubeconfig here, unreadable",
    # Lines of a file that is reviewed, and versions of it are kept.
    "Remove {flag} from k3s.config": "the cluster file",
    "Remove {labels} from the labels": "the cluster file",
    "remove this version from the lock": "the lock file",
    "Move what they say into the cluster file": "the cluster file",
    "Move it to /etc/default/{}": "variables of the environment",
    # No advice.
    "deleting the old node would remove the living member": "why a name is refused",
    "lets the kubelet delete imported images": "what is found",
    "cluster-reset cluster-reset-restore-path": "names of keys",
}

PAGES = {
    # Page and command: the step before it that makes sure.
    ("how-to/bootstrap-a-cluster.md", "sudo k3s kubectl delete node NAME"): "every **other** server"
    " must be `Ready, etcd voter`",
    ("runbooks/k3s-host-not-ready.md", "kubectl -n kube-system delete secret"): "must be this"
    " host's own",
    (
        "runbooks/k3s-lost-quorum.md",
        "k3s server --config /run/k3s-reset.yaml --cluster-reset",
    ): "stopped on all other servers",
    ("runbooks/k3s-lost-quorum.md", "sudo rm /run/k3s-reset.yaml"): "/run/k3s-reset.yaml",
    ("runbooks/k3s-lost-quorum.md", "without --cluster-reset flag"): "db-before-reset",
    ("runbooks/k3s-lost-quorum.md", "sudo mv /var/lib/rancher/k3s/server/db"): "copy the one that"
    " counts",
    ("runbooks/k3s-two-clusters.md", "sudo mv /var/lib/rancher/k3s"): "Save what only the other one"
    " has",
    ("runbooks/k3s-two-clusters.md", "sudo mv /etc/rancher"): "Save what only the other one has",
    ("runbooks/k3s-two-clusters.md", "k3s-killall.sh"): "Save what only the other one has",
}


@cache
def texts() -> tuple[tuple[str, str], ...]:
    """What `xops.k3s` says: its strings of several words but docstrings, by where they stand."""
    files = sorted((ROOT / "xops" / "k3s").rglob("*.py"))
    named = ((str(file.relative_to(ROOT)), file) for file in files)
    return tuple(
        (f"{name}:{line}", text)
        for name, file in named
        if name not in PROGRAMS
        for line, text in _strings(ast.parse(file.read_text(encoding="utf-8")))
        if " " in text
    )


def _strings(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Each string; of a formatted one the parts that are no text are written {}."""
    parts: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            parts.add(id(node.value))  # a docstring
        elif isinstance(node, ast.JoinedStr):
            parts |= {id(inner) for inner in node.values}
            yield node.lineno, "".join(map(_part, node.values))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from () if id(node) in parts else ((node.lineno, node.value),)


def _part(node: ast.expr) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else "{}"


def _taken_away(text: str) -> list[str]:
    """What a text tells to take away besides what stands behind facts."""
    for fragment in GATED:
        text = text.replace(fragment, "")
    return [found[0] for rule in (COMMANDS, WORDS) for found in rule.finditer(text)]


def test_no_text_tells_to_delete_what_may_count() -> None:
    assert {place: found for place, text in texts() if (found := _taken_away(text))} == {}


def test_what_stands_behind_facts_is_still_said() -> None:
    said = [text for _, text in texts()]

    assert [fragment for fragment in GATED if not any(fragment in text for text in said)] == []


@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda pattern: pattern.code)
def test_a_line_of_a_log_never_yields_a_command_that_deletes(pattern: Pattern) -> None:
    """Nothing is known there but the line: no gate would do."""
    assert COMMANDS.search(pattern.remedy) is None


@pytest.mark.parametrize("name", [name for name, key in KEYS.items() if key.instead])
def test_a_key_that_changed_never_yields_a_command_that_deletes(name: str) -> None:
    assert COMMANDS.search(KEYS[name].instead) is None


@pytest.mark.parametrize(
    "advice",
    [
        "`systemctl disable --now k3s k3s-agent; rm -rf /var/lib/rancher /etc/rancher`",
        "`systemctl stop k3s; rm -rf {folder}`",
        "`k3s kubectl delete node NAME` frees its place",
        "`k3s kubectl -n kube-system delete secret NAME.node-password.k3s`",
        "`k3s kubectl -n web delete pvc data`",
        "`mv /var/lib/rancher/k3s/server/db /root`",
        "stop k3s, move /var/lib/rancher/k3s/server/db away",
        "Remove the file on this server only",
        "`k3s server --cluster-reset`",
        "`etcdctl member remove 8e9e05c52164694d`",
        "`k3s-uninstall.sh`, then run it again",
        "`k3s-killall.sh`",
        "`k3s etcd-snapshot prune`",
        "`k3s crictl rmi --prune`",
        "`k3s ctr images rm IMAGE`",
        "`find /var/lib/rancher -name '*.db' -delete`",
        "Erase the disk and install it anew",
    ],
)
def test_such_advice_would_be_seen(advice: str) -> None:
    assert _taken_away(advice)


@pytest.mark.parametrize(
    "advice",
    [
        "an apply removes it after an approval",
        "`cp -a /var/lib/rancher/k3s/server /root/saved`",
        "`k3s etcd-snapshot save`",
        "`k3s kubectl get nodes -o wide`",
    ],
)
def test_other_advice_is_not_taken_for_it(advice: str) -> None:
    assert _taken_away(advice) == []


def _commands_of_pages() -> Iterator[tuple[str, int, str, str]]:
    """Page, line, the line itself, and all that stands before it."""
    for folder in ("how-to", "runbooks"):
        for file in sorted((ROOT / "docs" / folder).glob("*.md")):
            lines = file.read_text(encoding="utf-8").splitlines()
            for number, line in enumerate(lines, 1):
                if COMMANDS.search(line):
                    page = f"{folder}/{file.name}"
                    yield page, number, line, "\n".join(lines[: number - 1])


def test_pages_make_sure_before_something_goes() -> None:
    wrong = []
    for page, number, line, before in _commands_of_pages():
        first = next(
            (step for (of, cmd), step in PAGES.items() if of == page and cmd in line), None
        )
        if first is None or first not in " ".join(before.split()):
            wrong.append(f"{page}:{number}: {line.strip()}")

    assert wrong == []


def test_what_pages_tell_is_still_there() -> None:
    lines = [(page, line) for page, _, line, _ in _commands_of_pages()]

    assert [
        key for key in PAGES if not any(key[0] == of and key[1] in row for of, row in lines)
    ] == []
