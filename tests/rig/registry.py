"""A registry of images on a test host: the distribution's own, behind a login, without TLS."""

from __future__ import annotations

from tests.rig.hosts import File, Host

USER, PASSWORD = "puller", "canary-pull"
_PORT = 5000
_HASH = "$2a$05$aXfyNQyfclLIhh9DGnPxGunvQXtOnlLS7Y3.bxJoUrumJIjprc/Ea"  # of PASSWORD
_CONFIG = f"""\
version: 0.1
log: {{level: warn}}
storage: {{filesystem: {{rootdirectory: /var/lib/registry}}}}
http: {{addr: ":{_PORT}"}}
auth: {{htpasswd: {{realm: rig, path: /etc/registry/logins}}}}
"""
_ANSWERS = 'until curl --silent --output /dev/null "$1"; do sleep 0.1; done'


def address(host: Host) -> str:
    """Where the registry of this host is, as the name of an image begins."""
    return f"{host.address}:{_PORT}"


def start(host: Host) -> None:
    """Run a registry on the host until its next stop; what it has is on the host's disk."""
    host.put(
        File("/etc/registry/", "", 0o700),
        File("/etc/registry/logins", f"{USER}:{_HASH}\n", 0o600),
        File("/etc/registry/config.yml", _CONFIG),
    )
    serve = ["docker-registry", "serve", "/etc/registry/config.yml"]
    host.exec(["systemd-run", "--quiet", "--unit=registry", *serve])
    host.exec(["timeout", "60", "sh", "-c", _ANSWERS, "sh", f"http://{address(host)}/v2/"])


def push(host: Host, image: str, repository: str) -> None:
    """Give the host's registry an image that the host's containerd has.

    Args:
        image: its name with registry and tag.
        repository: the name and tag it gets there.
    """
    pushed = f"{address(host)}/{repository}"
    ctr = ["k3s", "ctr", "images"]
    host.exec([*ctr, "tag", "--force", image, pushed])
    host.exec([*ctr, "push", "--plain-http", "--user", f"{USER}:{PASSWORD}", pushed])
    host.exec([*ctr, "remove", pushed])
