"""Archives of images that no K3S release has, from the command line."""

import json
from pathlib import Path

from tests.contract.cli.shell import Shell
from tests.k3s_release import KUBE_VIP, VERSION, release, saved
from xops.core.errors import ExitCode
from xops.k3s.release.lock import Lock
from xops.k3s.release.lock_entry import write_entry


def test_an_archive_is_locked_and_bundled(shell: Shell, tmp_path: Path) -> None:
    lock, archive = tmp_path / "lock.yaml", tmp_path / "kube-vip-amd64.tar"
    lock.write_text("versions: {}\n")
    write_entry(lock, VERSION, release().lock.entry(VERSION))
    archive.write_bytes(saved("amd64"))
    folder = release().write(tmp_path / "release")
    of = ["--k3s", VERSION, "--lock", str(lock), "--images", str(archive), "--json"]

    first, second = (shell.run(["bundle", "lock", *of]) for _ in range(2))
    assert [json.loads(ended.out)["changed"] for ended in (first, second)] == [True, False]
    (extra,) = Lock.load(lock).extra_images(VERSION)["amd64"]
    assert (extra.name, extra.images) == (archive.name, (KUBE_VIP,))

    out = ["-o", str(tmp_path / "b.tar"), "--from", str(folder)]
    built = shell.run(["bundle", "build", *of, *out])
    assert built.code == ExitCode.DONE, built.err
    assert KUBE_VIP in json.loads(built.out)["images"]["amd64"]


def test_a_version_that_is_not_locked_gets_no_archive(shell: Shell, tmp_path: Path) -> None:
    lock, archive = tmp_path / "lock.yaml", tmp_path / "kube-vip-amd64.tar"
    lock.write_text("versions: {}\n")
    archive.write_bytes(saved("amd64"))
    of = ["--k3s", VERSION, "--lock", str(lock), "--images", str(archive)]

    ended = shell.run(["bundle", "lock", *of])
    assert ended.code == ExitCode.FAILED
    assert f"xops bundle lock --k3s {VERSION}" in ended.err
    assert lock.read_text() == "versions: {}\n"
