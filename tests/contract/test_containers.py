"""Containers against the units: compose.yaml starts what systemd would, of one image."""

import re
import runpy
import subprocess
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from xops.core.files.settings import ROOT
from xops.local import webhooks

FILES = ROOT / "deployments" / "server"
UNITS = FILES / "systemd"
COMPOSE: dict[str, Any] = yaml.safe_load((FILES / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
CONTAINERFILE = (FILES / "Containerfile").read_text().replace("\\\n", "")
NGINX = (FILES / "nginx.conf").read_text()
BIN = "/opt/xops/.venv/bin/"
ETC = "${XOPS_ETC:-/etc/xops}/"
OWN_IMAGE = re.compile(r"\$\{XOPS_IMAGE:\?[^}]+\}")
BY_DIGEST = re.compile(r"[a-z0-9./-]+:(?!latest)[\w.-]+@sha256:[0-9a-f]{64}")

INSTANCES: dict[str, dict[str, dict[str, str]]] = {
    "xops-prefect-api@.service": {"api-1": {"%i": "4201"}, "api-2": {"%i": "4202"}},
    "xops-prefect-services.service": {"services": {}},
    "xops-worker.service": {"worker": {"%H": "${XOPS_WORKER_NAME:-worker-1}"}},
    "xops-watch.service": {"watch": {}},
    "xops-receiver.service": {"receiver": {}},
    "xops-dispatcher.service": {"dispatcher": {}},
}
"""The services of each unit, with what its specifiers stand for there."""

each_instance = pytest.mark.parametrize(
    ("unit", "service"), [(unit, name) for unit, names in INSTANCES.items() for name in names]
)
each_service = pytest.mark.parametrize("name", sorted(SERVICES))


def directives(unit: str, service: str) -> dict[str, list[str]]:
    """What a unit says, as it would be started for this service."""
    text = (UNITS / unit).read_text()
    for specifier, value in INSTANCES[unit][service].items():
        text = text.replace(specifier, value)
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE):
        found.setdefault(name, []).append(value)
    return found


def seconds(duration: str) -> int:
    number, unit = re.fullmatch(r"(\d+)([smh])", duration).groups()  # type: ignore[union-attr]
    return int(number) * {"s": 1, "m": 60, "h": 3600}[unit]


def variables(file: str) -> dict[str, str]:
    lines = (FILES / file).read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_every_unit_has_its_services_and_every_service_of_xops_its_unit() -> None:
    assert {path.name for path in UNITS.iterdir()} == set(INSTANCES)
    ours = {name for name, row in SERVICES.items() if OWN_IMAGE.fullmatch(row["image"])}
    units = {name for names in INSTANCES.values() for name in names}
    assert ours - units == {"migrate"}  # by hand on a host, too
    assert units <= ours


@each_instance
def test_a_service_runs_what_its_unit_runs(unit: str, service: str) -> None:
    says, row = directives(unit, service), SERVICES[service]
    [command] = says["ExecStart"]
    assert command.startswith(BIN)
    assert row["command"] == command.removeprefix(BIN).split()
    assert "entrypoint" not in row
    assert says["WorkingDirectory"] == [row["working_dir"]]


@each_instance
def test_a_service_is_told_what_its_unit_is_told(unit: str, service: str) -> None:
    says, row = directives(unit, service), SERVICES[service]
    [file] = says["EnvironmentFile"]
    # Raw: as systemd reads it, without variables of variables.
    path = ETC + Path(file).name
    assert row["env_file"] == [{"path": path, "format": "raw"}]
    assert (FILES / Path(file).name).exists()
    told = dict(value.split("=", 1) for value in says.get("Environment", []))
    [state] = says["StateDirectory"]
    home = {} if state == "xops" else {"HOME": f"/var/lib/{state}"}  # what useradd is told
    assert row.get("environment", {}) == {**told, **home}
    mounted = [volume.split(":")[1] for volume in row["volumes"]]
    assert mounted == [f"/var/lib/{state}"]


@each_instance
def test_a_service_is_ended_no_sooner_and_begun_again_as_its_unit_is(
    unit: str, service: str
) -> None:
    says, row = directives(unit, service), SERVICES[service]
    assert says["Restart"] == [row["restart"]]
    [patience] = says.get("TimeoutStopSec", ["10"])
    granted = seconds(row.get("stop_grace_period", "10s"))
    if patience == "infinity":
        assert granted >= 30 * 24 * 3600
        # Only the first process hears of a stop, as with KillMode=process: Terraform does not.
        assert says["KillMode"] == ["process"]
        assert says["KillSignal"] == [row["stop_signal"]]
    else:
        assert granted == int(patience)


@each_service
def test_a_service_may_do_no_more_than_a_unit(name: str) -> None:
    row = SERVICES[name]
    assert row["read_only"] is True
    assert row["cap_drop"] == ["ALL"]
    assert row["security_opt"] == ["no-new-privileges:true"]
    assert row["init"] is True
    user, _, group = row["user"].partition(":")
    assert int(user) > 0
    assert int(group) > 0
    assert not {"privileged", "cap_add", "devices", "pid", "ipc", "userns_mode"} & set(row)
    assert not [volume for volume in row.get("volumes", []) if "docker.sock" in volume]


@each_service
def test_an_image_is_named_by_what_is_in_it(name: str) -> None:
    image = SERVICES[name]["image"]
    assert OWN_IMAGE.fullmatch(image) or BY_DIGEST.fullmatch(image), image
    assert "build" not in SERVICES[name]


def test_only_the_proxy_is_published_and_only_it_reaches_an_api_process() -> None:
    upstreams = re.findall(r"server 127\.0\.0\.1:(\d+) ", NGINX)
    told = [SERVICES[name]["environment"] for name in ("api-1", "api-2")]
    assert [row["PREFECT_SERVER_API_PORT"] for row in told] == upstreams
    assert variables("prefect.env")["PREFECT_SERVER_API_HOST"] == "127.0.0.1"
    [published] = [name for name, row in SERVICES.items() if "ports" in row]
    [port] = SERVICES[published]["ports"]
    [listens] = set(re.findall(r"listen (\d+) ssl", NGINX))
    assert port.rsplit(":", 1)[1] == listens
    sharing = {
        n for n, row in SERVICES.items() if row.get("network_mode") == f"service:{published}"
    }
    assert sharing == {"proxy", "api-1", "api-2", "receiver"}
    assert {row["network_mode"] for row in SERVICES.values() if "network_mode" in row} == {
        f"service:{published}"
    }
    # It outlives an upgrade of xOps, with which its network would go.
    assert SERVICES[published]["image"] == SERVICES["proxy"]["image"]


def test_the_proxy_is_that_of_a_host() -> None:
    proxy = SERVICES["proxy"]
    [mounted] = proxy["volumes"]
    assert mounted == f"{ETC}nginx.conf:/etc/nginx/conf.d/default.conf:ro"
    wanted = re.findall(r"ssl_certificate(?:_key)? +(/\S+);", NGINX)
    assert {row["target"] for row in proxy["secrets"]} == set(wanted)


def test_database_and_redis_are_reached_by_the_names_of_prefect_env_and_by_nobody_else() -> None:
    told = variables("prefect.env")
    database = urlsplit(told["PREFECT_SERVER_DATABASE_CONNECTION_URL"])
    redis = {urlsplit(told[n]).hostname for n in told if told[n].startswith("redis://")}
    names = {"aliases": [database.hostname]}
    assert SERVICES["db"]["networks"] == {"data": names, "deliveries": names}
    assert {*SERVICES["redis"]["networks"]["data"]["aliases"]} == redis
    assert set(SERVICES["redis"]["networks"]) == {"data"}
    assert COMPOSE["networks"]["data"] == COMPOSE["networks"]["deliveries"] == {"internal": True}
    on_it = {name for name, row in SERVICES.items() if "data" in row.get("networks", ())}
    assert on_it == {"db", "redis", "services", "migrate", "address"}
    on_it = {name for name, row in SERVICES.items() if "deliveries" in row.get("networks", ())}
    assert on_it == {"db", "dispatcher", "worker"}
    given = SERVICES["db"]["environment"]
    assert given["POSTGRES_USER"] == database.username
    assert given["POSTGRES_DB"] == database.path.removeprefix("/")


def test_the_receiver_is_told_two_secrets_and_reaches_the_database_alone() -> None:
    """It faces the network: of Prefect, of AWS and of GitHub's API it knows nothing."""
    told = variables("receiver.env")
    assert set(told) == {"XOPS_SECRET_WEBHOOK", "XOPS_GITHUB_DATABASE", "XOPS_HOME"}
    inbox = urlsplit(told["XOPS_GITHUB_DATABASE"])
    prefect = urlsplit(variables("prefect.env")["PREFECT_SERVER_DATABASE_CONNECTION_URL"])
    assert (inbox.username, inbox.path) != (prefect.username, prefect.path)
    says = directives("xops-receiver.service", "receiver")
    assert (says["IPAddressDeny"], says["IPAddressAllow"]) == (["any"], ["localhost"])
    users = {unit: directives(unit, next(iter(rows)))["User"] for unit, rows in INSTANCES.items()}
    assert [unit for unit, user in users.items() if user == says["User"]] == [
        "xops-receiver.service"
    ]
    [port] = re.findall(r"proxy_pass http://127\.0\.0\.1:(\d+);", NGINX)
    assert int(port) == webhooks.PORT


def test_who_uses_the_inbox_names_the_same_one() -> None:
    users = ("receiver.env", "dispatcher.env", "worker.env")
    assert len({variables(file)["XOPS_GITHUB_DATABASE"] for file in users}) == 1


def test_redis_keeps_what_the_how_to_says_it_must() -> None:
    command = " ".join(SERVICES["redis"]["command"])
    how_to = (ROOT / "docs" / "how-to" / "production-prefect.md").read_text()
    for setting in ("appendonly yes", "maxmemory-policy noeviction"):
        assert f"--{setting}" in command
        assert setting in how_to


def test_no_secret_stands_in_the_file_or_among_arguments() -> None:
    for row in SERVICES.values():
        given = [*row.get("command", []), *row.get("environment", {})]
        secret = [text for text in given if re.search("PASS|SECRET|AUTH|KEY|pass(?!.*FILE)", text)]
        assert [name for name in secret if not name.endswith("_FILE")] == []
    named = {row["file"] for row in COMPOSE["secrets"].values()}
    assert all(path.startswith(ETC) for path in named)
    used = {
        entry if isinstance(entry, str) else entry["source"]
        for row in SERVICES.values()
        for entry in row.get("secrets", [])
    }
    assert used == set(COMPOSE["secrets"])


def test_the_values_are_those_that_are_asked_for() -> None:
    asked = set(re.findall(r"\$\{(\w+)", (FILES / "compose.yaml").read_text()))
    values = variables("compose.env")
    assert set(values) == asked
    assert not BY_DIGEST.fullmatch(values["XOPS_IMAGE"])  # refused as it is: it is to be changed
    assert values["XOPS_SERVER_NAME"] in NGINX


def test_who_waits_for_a_service_waits_until_it_is_well() -> None:
    for row in SERVICES.values():
        for needed, how in row.get("depends_on", {}).items():
            well = "service_healthy" if "healthcheck" in SERVICES[needed] else "service_started"
            assert how == {"condition": well}
    asked = {name for name, row in SERVICES.items() if "healthcheck" in row}
    assert asked == {"api-1", "api-2", "proxy", "db", "redis", "receiver"}


# The image.


def stages() -> list[tuple[str, str]]:
    """The base of each stage and what is done on it."""
    parts = re.split(r"^FROM +(\S+).*\n", CONTAINERFILE, flags=re.MULTILINE)[1:]
    return list(zip(parts[::2], parts[1::2], strict=True))


def image_environ() -> dict[str, str]:
    [values] = re.findall(r"^ENV +(PATH=.*)$", stages()[-1][1], re.MULTILINE)
    return dict(pair.split("=", 1) for pair in values.split())


def test_the_image_stands_on_a_digest_and_holds_no_secret() -> None:
    [base] = re.findall(r"^ARG +BASE=(\S+)$", CONTAINERFILE, re.MULTILINE)
    assert BY_DIGEST.fullmatch(base)
    assert [stage for stage, _ in stages()] == ["${BASE}", "${BASE}"]
    assert re.findall(r"^ARG +(\w+)", CONTAINERFILE, re.MULTILINE) == ["BASE"]
    assert not re.search(r"https?://|^ADD ", CONTAINERFILE, re.MULTILINE)


def test_the_image_is_not_root_and_lies_where_units_and_pools_look_for_it() -> None:
    _, last = stages()[-1]
    users = re.findall(r"^USER +(\S+)$", last, re.MULTILINE)
    assert users == [SERVICES["worker"]["user"]]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", users[0])  # runAsNonRoot knows no names
    assert re.findall(r"^WORKDIR +(\S+)$", last, re.MULTILINE) == ["/opt/xops"]
    environ = image_environ()
    assert environ["PATH"].startswith(BIN.removesuffix("/") + ":")
    assert environ["XOPS_ROOT"] == "/opt/xops"
    made = re.search(r"install -d -m 0700 -o xops -g xops ([^&\n]*)", last)
    assert made is not None
    wanted = {
        f"/var/lib/{s}"
        for u in INSTANCES
        for n in INSTANCES[u]
        for s in directives(u, n)["StateDirectory"]
    }
    assert set(made[1].split()) == wanted


def test_a_run_without_a_file_of_its_own_is_told_what_a_worker_is_told() -> None:
    worker, image = variables("worker.env"), image_environ()
    own = {"PATH", "HOME", "XOPS_ROOT", "XOPS_HOME"}
    assert {name: image[name] for name in image if name not in own}.items() <= worker.items()
    # A server is somebody's own, and what is of workers alone is no run's.
    server = {
        "PREFECT_API_URL", "PREFECT_UI_URL", "PREFECT_API_AUTH_STRING", "XOPS_GITHUB_DATABASE"
    }  # fmt: skip
    workers = {"PREFECT_WORKER_ENABLE_CANCELLATION", "PREFECT_RUNNER_CRASH_ON_CANCELLATION_FAILURE"}
    # Unsaid it is below HOME, which each service has of its own.
    assert set(worker) - set(image) == server | workers | {"PREFECT_HOME"}


def test_every_package_of_the_image_is_installed_by_its_hash() -> None:
    builds = stages()[0][1]
    installs = re.findall(r"(?:pip|uv) (?:pip )?(?:install|sync) [^&\n]*", builds)
    assert len(installs) == 3
    for command in installs:
        of_the_tree = "--no-deps" in command and "--editable ." in command
        assert "--require-hashes" in command or of_the_tree, command
        if "/uv pip" in command or command.startswith("uv pip"):
            assert "--build-constraints requirements-build.lock" in command
    assert "apt-get" not in CONTAINERFILE


RUNTIME_LOCK: Callable[[str], str] = runpy.run_path(str(ROOT / "scripts" / "runtime_lock.py"))[
    "runtime_lock"
]
LOCK = (ROOT / "requirements.lock").read_text()


def entries(lock: str) -> set[str]:
    return {canonicalize_name(name) for name in re.findall(r"^([\w.-]+)(?:\[.*\])?==", lock, re.M)}


def needed(names: set[str]) -> set[str]:
    """What is installed here that these need, as their own metadata say."""
    found: set[str] = set()
    left: set[tuple[str, str]] = {(name, "") for name in names}
    seen: set[tuple[str, str]] = set()
    while left:
        name, extra = asked = left.pop()
        seen.add(asked)
        found.add(name)
        for text in metadata.requires(name) or []:
            wanted = Requirement(text)
            if wanted.marker is None or wanted.marker.evaluate({"extra": extra}):
                other = str(canonicalize_name(wanted.name))
                left |= {(other, part) for part in ("", *wanted.extras)} - seen
    return found


def test_the_image_has_what_xops_needs_and_no_tool() -> None:
    kept = entries(RUNTIME_LOCK(LOCK))
    assert needed({"xops"}) - {"xops"} <= kept
    tools = {"pytest", "mypy", "ruff", "playwright", "hypothesis", "mkdocs", "setuptools"}
    assert tools <= entries(LOCK)
    assert not tools & kept


def test_its_lock_has_the_versions_and_hashes_of_the_whole_lock() -> None:
    kept = RUNTIME_LOCK(LOCK)
    blocks = re.findall(r"^\S.*\n(?: .*\n)+", kept, re.MULTILINE)
    assert "".join(blocks) == kept
    assert all(block in LOCK and "--hash=sha256:" in block for block in blocks)


@pytest.mark.parametrize(
    "wrong",
    ["-e .\n", "prefect @ git+ssh://host/prefect\n", "prefect==1 \\\n    --hash=sha256:0\n"],
)
def test_a_lock_of_another_form_is_refused_and_not_shortened(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"requirements\.lock"):
        RUNTIME_LOCK(LOCK + wrong)


# What is sent to the engine.


def let_in() -> Callable[[str], bool]:
    """Docker's rules: the last pattern that fits a path or a folder above it decides."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [
        (not line.startswith("!"), _pattern(line.removeprefix("!")))
        for line in lines
        if line and not line.startswith("#")
    ]

    def decide(path: str) -> bool:
        deciding = [left_out for left_out, pattern in rules if pattern.fullmatch(path)]
        return not deciding[-1] if deciding else True

    return decide


def _pattern(text: str) -> re.Pattern[str]:
    parts = re.split(r"(\*\*/|\*)", text)
    special: Mapping[str, str] = {"**/": "(?:.*/)?", "*": "[^/]*"}
    return re.compile("".join(special.get(part, re.escape(part)) for part in parts) + "(?:/.*)?")


def committed() -> list[str]:
    command = ["git", "ls-files"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return listed.stdout.splitlines()


def test_what_the_code_reads_below_its_folder_is_in_the_image() -> None:
    named = [
        "/".join(re.findall(r'"([^"]+)"', path))
        for file in (ROOT / "xops").rglob("*.py")
        for path in re.findall(r'\bROOT((?: / "[^"]+")+)', file.read_text())
        if ".xops" not in path
    ]
    assert len(named) >= 10
    decide = let_in()
    for path in {*named, "blocks/__init__.py", "flows/provision_ecs.py", "pyproject.toml"}:
        assert (ROOT / path).exists(), path
        below = [file for file in committed() if file == path or file.startswith(f"{path}/")]
        assert [file for file in below if decide(file)], path


def test_an_image_and_a_checkout_deploy_the_same() -> None:
    """Else `xops deploy` from the one would do again what the other has done."""
    decide = let_in()
    kinds = r"(blocks|flows|xops)/.*\.py|deployments/.*\.yaml|prefect\.yaml|requirements\.lock"
    hashed = [file for file in committed() if re.fullmatch(kinds, file)]
    assert len(hashed) > 200
    assert [file for file in hashed if not decide(file)] == []
    assert decide("deployments/server/compose.yaml")


def test_an_image_has_no_tests_no_server_files_and_nothing_that_work_leaves() -> None:
    decide = let_in()
    inside = [file for file in committed() if decide(file)]
    assert not [file for file in inside if re.search(r"(^|/)(tests|bench|\.github|\.ci)/", file)]
    server = {file for file in inside if file.startswith("deployments/server/")}
    assert server <= {"deployments/server/compose.yaml"}
    for left in (
        ".git/config", ".venv/bin/python", ".xops/prefect-secret", "xops/__pycache__/a.pyc",
        "deployments/server/prefect.env", "deployments/prod.env", "new-secret.txt",
        "terraform/stacks/stream1/.terraform/x", "terraform/stacks/stream1/terraform.tfstate",
        "terraform/stacks/stream1/terraform.tfstate.backup", "terraform/stacks/stream1/a.tfvars",
    ):  # fmt: skip
        assert not decide(left), left
    assert decide("terraform/stacks/stream1/.terraform.lock.hcl")
