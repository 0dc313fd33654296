"""EFS: PutBackupPolicy and DeleteFileSystemPolicy.

AWS: `PUT /2015-02-01/file-systems/{FileSystemId}/backup-policy` turns the file system's automatic
daily backups on or off and answers with the policy. The status passes through ENABLING or DISABLING
before it settles. Errors: FileSystemNotFound (404), ValidationException for an unknown status.
DescribeBackupPolicy answers PolicyNotFound (404) for a file system that never had a policy, and
`DISABLED` after one was switched off.

DeleteFileSystemPolicy removes a file system's resource policy; there need not be one.

moto 5.2.5 has DescribeBackupPolicy only: the policy is what CreateFileSystem's `Backup` said, and
an unknown file system is a KeyError there. A resource policy can be put but not deleted.

Source: https://docs.aws.amazon.com/efs/latest/ug/API_PutBackupPolicy.html
"""

import json
from typing import Any, cast

from moto.efs import urls
from moto.efs.exceptions import EFSError, FileSystemNotFound, PolicyNotFound
from moto.efs.models import EFSBackend, FileSystem, efs_backends
from moto.efs.responses import EFSResponse

from xops.local.aws.extension import substitute

SETTLED = {"ENABLED": "ENABLED", "ENABLING": "ENABLED"} | {
    "DISABLED": "DISABLED",
    "DISABLING": "DISABLED",
}


class ValidationException(EFSError):  # noqa: N818 - the name of the error in AWS's model
    """The request does not satisfy the constraints of the service."""

    code = 400

    def __init__(self, message: str):
        super().__init__("ValidationException", message)


class BackupPolicyBackend(EFSBackend):
    """moto's EFS with a backup policy that can be set."""

    def __init__(self, region_name: str, account_id: str):
        super().__init__(region_name, account_id)
        self.backup_policies: dict[str, str] = {}

    def put_backup_policy(self, file_system_id: str, status: str) -> dict[str, str]:
        """Set the policy of a file system; the status settles at once."""
        self._file_system(file_system_id)
        if status not in SETTLED:
            raise ValidationException(
                f"1 validation error detected: Value '{status}' at 'backupPolicy.status' failed to "
                f"satisfy constraint: Member must satisfy enum value set: {sorted(SETTLED)}"
            )
        self.backup_policies[file_system_id] = SETTLED[status]
        return {"Status": SETTLED[status]}

    def describe_backup_policy(self, file_system_id: str) -> dict[str, str]:
        """Answer the policy last set, else the one the file system was created with."""
        file_system = self._file_system(file_system_id)
        if file_system_id in self.backup_policies:
            return {"Status": self.backup_policies[file_system_id]}
        if not file_system.backup_policy:
            raise PolicyNotFound("There is no backup policy associated with this file system.")
        return file_system.backup_policy

    def delete_file_system_policy(self, file_system_id: str) -> None:
        """Remove the resource policy of a file system."""
        self._file_system(file_system_id).file_system_policy = None

    def _file_system(self, file_system_id: str) -> FileSystem:
        try:
            return self.file_systems_by_id[file_system_id]
        except KeyError:
            raise FileSystemNotFound(file_system_id) from None


class BackupPolicyResponse(EFSResponse):
    """The response methods of the calls above."""

    @property
    def efs_backend(self) -> BackupPolicyBackend:
        """The backend of the request's account and region."""
        return cast(BackupPolicyBackend, super().efs_backend)

    def put_backup_policy(self) -> tuple[str, dict[str, str]]:
        """Read PutBackupPolicy's parameters and answer with the policy."""
        policy: dict[str, Any] = self._get_param("BackupPolicy") or {}
        answer = self.efs_backend.put_backup_policy(
            self._get_param("FileSystemId"), policy.get("Status", "")
        )
        return json.dumps({"BackupPolicy": answer}), {"Content-Type": "application/json"}

    def delete_file_system_policy(self) -> tuple[str, dict[str, str]]:
        """Read DeleteFileSystemPolicy's parameter and answer nothing."""
        self.efs_backend.delete_file_system_policy(self._get_param("FileSystemId"))
        return "", {"Content-Type": "application/json"}


def install() -> None:
    """Put this extension in the place of moto's own EFS."""
    substitute(efs_backends, urls, BackupPolicyBackend, BackupPolicyResponse)
