"""The operator's word, in tests, that a GitHub of theirs may be sent its credential."""

from pathlib import Path

from xops.core.files.secret_sources import FolderSource, SecretSources, VariableSource

NAME = "XOPS_GITHUB_TOKEN"


def allowing(url: str, folder: Path = Path("/none")) -> SecretSources:
    """The token, and keys below a folder, for this server."""
    named = VariableSource(variable=NAME, hosts=(url,))
    return SecretSources(sources=(named, FolderSource(folder=folder, hosts=(url,))))


def write_sources(folder: Path, url: str) -> str:
    """A file that says the same of the token, for the variable XOPS_SECRETS."""
    file = folder / "secrets.yaml"
    file.write_text(f"sources: [{{variable: {NAME}, hosts: ['{url}']}}]\n")
    file.chmod(0o600)
    return str(file)
