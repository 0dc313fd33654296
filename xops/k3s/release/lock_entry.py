"""An entry of the lock: made from a release's own checksum files, and written into the lock's file.

Names of the files: K3S documentation, "Air-Gap Install"; form of the checksum files:
k3s-io/k3s, `.github/workflows/release.yml`.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.scalarstring import SingleQuotedScalarString
from ruamel.yaml.tokens import CommentToken

from xops.core.errors import Finding, InputError
from xops.k3s.release.file_checks import MismatchError, sha256_of, translate_write_errors
from xops.k3s.release.images import architecture_of, images_in
from xops.k3s.release.lock import (
    VERSION_PATTERN,
    Architecture,
    Artifact,
    Entry,
    ExtraImages,
    Lock,
    LockedFiles,
)

_BINARIES = {"amd64": "k3s", "arm64": "k3s-arm64"}
# K3S imports all three; the smallest comes first.
_COMPRESSIONS = (".zst", ".gz", "")
_MOST_FINDINGS = 50
_CHECKSUM = re.compile(r"([0-9A-Fa-f]{64}) [ *](\S+)")


def check_version(version: str) -> None:
    """Refuse what cannot be a version of K3S.

    Raises:
        InputError: it is not written like one.
    """
    if not re.fullmatch(VERSION_PATTERN, version):
        finding = Finding("version", "", f"{version!r} is not like v1.36.4+k3s1")
        raise InputError("reading the K3S version", [finding], "Write it as K3S's releases do.")


def lock_from_checksums(
    version: str,
    texts: Mapping[Architecture, str],
    images: tuple[str, ...] | None = None,
) -> Entry:
    """What the lock shall say of a version, from the texts of its `sha256sum-<arch>.txt`.

    Of the image archives the smallest is taken: .tar.zst, .tar.gz, .tar.

    Raises:
        InputError: every line that is no checksum and every file without one.
    """
    check_version(version)
    findings: list[Finding] = []
    entry: Entry = {}
    for arch, text in texts.items():
        sums = _checksums(f"sha256sum-{arch}.txt", text, findings)
        binary = _artifact([_BINARIES[arch]], sums)
        names = [f"k3s-airgap-images-{arch}.tar{suffix}" for suffix in _COMPRESSIONS]
        archive = _artifact(names, sums)
        for artifact, name in ((binary, _BINARIES[arch]), (archive, names[0])):
            if artifact is None:
                findings.append(Finding(f"sha256sum-{arch}.txt", "", f"has no line for {name}"))
        if binary and archive:
            entry[arch] = LockedFiles(binary=binary, images=archive, image_list=images)
    if findings:
        raise InputError(
            f"reading the checksum files of K3S {version}",
            findings[:_MOST_FINDINGS],
            "Take the files from the release as they are, and run it again.",
        )
    return entry


def _checksums(source: str, text: str, findings: list[Finding]) -> dict[str, str]:
    sums: dict[str, str] = {}
    for number, line in enumerate(text.split("\n"), 1):
        row = _CHECKSUM.fullmatch(line.strip())
        if row and sums.setdefault(row[2], row[1].lower()) != row[1].lower():
            findings.append(Finding(source, "", f"{row[2]} has two checksums", number))
        elif not row and line.strip():
            shown = line.strip()[:80]
            findings.append(Finding(source, "", f"is no SHA-256 checksum: {shown!r}", number))
    return sums


def _artifact(names: Sequence[str], sums: Mapping[str, str]) -> Artifact | None:
    found = next((name for name in names if name in sums), None)
    return Artifact(name=found, sha256=sums[found]) if found else None


def with_extra_images(entry: Entry, archives: Sequence[Path]) -> Entry:
    """The entry with archives of images that no release has, each for the machines it is for.

    Raises:
        InputError: every archive that cannot be read here, is for machines that the entry does not
            have, or has the name of another file.
        PermanentError: one is no archive of images, or is damaged.
    """
    findings: list[Finding] = []
    made = dict(entry)
    for archive in archives:
        problem = _add_images(made, archive)
        findings += [Finding(str(archive), "", problem)] if problem else []
    if findings:
        raise InputError("locking archives of images", findings)
    return made


def _add_images(entry: Entry, archive: Path) -> str | None:
    """Why it cannot be added, or None. One of the same name is replaced."""
    images, named = images_in(archive), architecture_of(archive)
    arch = next((known for known in entry if known == named), None)
    if images is None:
        return "this Python cannot unpack it: save it as .tar or .tar.gz"
    if arch is None:
        known = " and ".join(entry)
        return f"its images are for {named or 'machines that it does not name'}, not for {known}"
    row = entry[arch]
    kept = tuple(each for each in row.extra_images if each.name != archive.name)
    others = [*kept, row.binary, row.images]
    others += [each for other in entry if other != arch for _, each in entry[other].files]
    if archive.name in {each.name for each in others}:
        return f"another file has that name: name it, for example, kube-vip-{arch}.tar"
    values = {"name": archive.name, "sha256": sha256_of(archive), "size": archive.stat().st_size}
    try:
        added = ExtraImages.model_validate({**values, "images": images})
    except ValidationError as error:
        return "; ".join(row["msg"] for row in error.errors(include_url=False))
    entry[arch] = row.model_copy(update={"extra_images": (*kept, added)})
    return None


def write_entry(file: Path, version: str, entry: Entry) -> bool:
    """Write what the lock says of a version into its file; False if it said so already.

    Archives that no release has stay as they are where the entry names none.

    Raises:
        InputError: the file is no lock.
        MismatchError: a file of this version has another hash than the one that is locked.
    """
    before = Lock.load(file).versions.get(version, {})
    entry = {arch: _keep_images(row, before.get(arch)) for arch, row in entry.items()}
    if before == entry:
        return False
    _refuse_other_bytes(version, _hashes(before), _hashes(entry))
    text = with_entry(file.read_text(encoding="utf-8"), version, entry)
    partial = file.with_name(f".{file.name}.part")
    with translate_write_errors(file):
        partial.write_text(text, encoding="utf-8")
        partial.replace(file)
    return True


def _keep_images(row: LockedFiles, before: LockedFiles | None) -> LockedFiles:
    if before is None or row.extra_images:
        return row
    return row.model_copy(update={"extra_images": before.extra_images})


def _hashes(entry: Entry) -> dict[str, str]:
    artifacts = [artifact for row in entry.values() for _, artifact in row.files]
    return {artifact.name: artifact.sha256 for artifact in artifacts}


def _refuse_other_bytes(version: str, before: Mapping[str, str], now: Mapping[str, str]) -> None:
    changed = [
        f"{name}: {old}, now {now[name]}"
        for name, old in before.items()
        if now.get(name, old) != old
    ]
    if changed:
        raise MismatchError(
            f"locking K3S {version}",
            f"the lock has other hashes already: {'; '.join(changed)}",
            "Find out which is right before anything is installed: a release does not change. To"
            " take the new ones, remove this version from the lock first.",
        )


def with_entry(text: str, version: str, entry: Entry) -> str:
    """The lock's text with this entry. Other entries and their comments stay as they are.

    Raises:
        InputError: `versions` is written in braces, and there are entries in it.
    """
    editor = YAML()
    editor.preserve_quotes, editor.width = True, 4096
    document = editor.load(text)
    if not document.get("versions"):
        document["versions"] = CommentedMap()
    versions: CommentedMap = document["versions"]
    if versions.fa.flow_style():
        finding = Finding("lock", "versions", "is written in braces", versions.lc.line + 1)
        raise InputError(f"adding K3S {version} to the lock", [finding])
    before = version if version in versions else next(reversed(versions), None)
    following = _take_following_comment(versions[before]) if before else None
    versions[version] = _editable(
        {arch: row.model_dump(mode="json", exclude_none=True) for arch, row in entry.items()}
    )
    if following:
        collection, key, slot = _last_value(versions[version])
        collection.ca.items[key] = [following if at == slot else None for at in range(4)]
    edited = io.StringIO()
    editor.dump(document, edited)
    return edited.getvalue()


def _editable(value: Any) -> Any:
    """A JSON value as the editor takes it, so that YAML 1.1 and 1.2 read the same from it."""
    if isinstance(value, dict):
        return CommentedMap({key: _editable(inner) for key, inner in value.items()})
    if isinstance(value, list):
        return CommentedSeq(map(_editable, value))
    if isinstance(value, str) and yaml.safe_load(value) != value:  # a hash of digits alone
        return SingleQuotedScalarString(value)
    return value


def _take_following_comment(entry: CommentedMap) -> CommentToken | None:
    """Remove the lines of comment that stand behind an entry: they are about the next one.

    ruamel.yaml keeps them with the entry's last value, behind that value's own comment.
    """
    collection, key, slot = _last_value(entry)
    token: CommentToken | None = collection.ca.items.pop(key, [None] * 4)[slot]
    _, newline, lines = token.value.partition("\n") if token else ("", "", "")
    if token is None or not lines.strip():
        return None
    token.value = newline + lines
    return token


def _last_value(node: CommentedMap | CommentedSeq) -> tuple[Any, Any, int]:
    """The innermost collection that ends a node, its last key, and the slot of its comment."""
    is_list = isinstance(node, CommentedSeq)
    key = len(node) - 1 if is_list else next(reversed(node))
    inner = node[key]
    if isinstance(inner, CommentedMap | CommentedSeq) and inner and not inner.fa.flow_style():
        return _last_value(inner)
    return node, key, 0 if is_list else 2
