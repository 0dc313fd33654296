"""AWS Backup: selections of a plan, and UpdateBackupPlan.

AWS: a selection says which resources a plan backs up and with which role. Create answers the
selection's id; Get, List and Delete do as they say. A plan that has selections cannot be deleted
(InvalidRequestException). UpdateBackupPlan replaces the document and makes a new version.
Everything about an unknown plan or selection is ResourceNotFoundException.

moto 5.2.5 has plans and vaults, but neither selections nor the update of a plan. Its ListTags reads
the ARN from paths with a trailing slash only, which Terraform's SDK does not send. Before a vault
is emptied by force its recovery points are listed: nothing is backed up here, so there are none.

Source: https://docs.aws.amazon.com/aws-backup/latest/devguide/API_CreateBackupSelection.html
"""

import json
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import unquote
from uuid import uuid4

from moto.backup import urls
from moto.backup.exceptions import (
    AlreadyExistsException,
    InvalidRequestException,
    ResourceNotFoundException,
)
from moto.backup.models import BackupBackend, Plan, backup_backends
from moto.backup.responses import BackupResponse
from moto.core.utils import unix_time

from xops.local.aws.extension import substitute


@dataclass(frozen=True)
class Selection:
    """What a plan backs up."""

    selection_id: str
    plan_id: str
    document: dict[str, Any]
    creator_request_id: str | None
    creation_date: float

    def created(self) -> dict[str, Any]:
        """Answer CreateBackupSelection's members."""
        return {
            "SelectionId": self.selection_id,
            "BackupPlanId": self.plan_id,
            "CreationDate": self.creation_date,
        }

    def detail(self) -> dict[str, Any]:
        """Answer GetBackupSelection's members."""
        requester = {"CreatorRequestId": self.creator_request_id} if self.creator_request_id else {}
        return {**self.created(), **requester, "BackupSelection": self.document}

    def summary(self) -> dict[str, Any]:
        """Answer a member of ListBackupSelections."""
        names = {name: self.document[name] for name in ("SelectionName", "IamRoleArn")}
        return {**self.created(), **names}


class SelectionsBackend(BackupBackend):
    """moto's AWS Backup with selections."""

    def __init__(self, region_name: str, account_id: str):
        super().__init__(region_name, account_id)
        self.selections: dict[str, Selection] = {}

    def create_backup_selection(
        self, backup_plan_id: str, document: dict[str, Any], creator_request_id: str | None
    ) -> Selection:
        """Add a selection to a plan; its name is unique within the plan."""
        names = [s.document["SelectionName"] for s in self.list_backup_selections(backup_plan_id)]
        if document["SelectionName"] in names:
            raise AlreadyExistsException("Backup selection with the same name already exists")
        selection = Selection(
            str(uuid4()), backup_plan_id, document, creator_request_id, unix_time()
        )
        self.selections[selection.selection_id] = selection
        return selection

    def get_backup_selection(self, backup_plan_id: str, selection_id: str) -> Selection:
        """Answer one selection of a plan."""
        selection = self.selections.get(selection_id)
        if selection is None or selection.plan_id != backup_plan_id:
            raise ResourceNotFoundException("Cannot find Backup selection with given ID")
        return selection

    def list_backup_selections(self, backup_plan_id: str) -> list[Selection]:
        """Answer all selections of a plan."""
        self.get_backup_plan(backup_plan_id, None)
        return [s for s in self.selections.values() if s.plan_id == backup_plan_id]

    def delete_backup_selection(self, backup_plan_id: str, selection_id: str) -> None:
        """Delete one selection of a plan."""
        self.get_backup_selection(backup_plan_id, selection_id)
        del self.selections[selection_id]

    def update_backup_plan(self, backup_plan_id: str, document: dict[str, Any]) -> Plan:
        """Replace a plan's document, keeping its identity; the version changes."""
        plan = self.get_backup_plan(backup_plan_id, None)
        renewed = Plan(document, plan.creator_request_id, self)
        plan.backup_plan, plan.version_id = renewed.backup_plan, renewed.version_id
        plan.advanced_backup_settings = renewed.advanced_backup_settings
        return plan

    def delete_backup_plan(self, backup_plan_id: str) -> tuple[str, str, float, str]:
        """Delete a plan that has no selections."""
        if self.list_backup_selections(backup_plan_id):
            raise InvalidRequestException(
                "Related backup plan selections must be deleted prior to backup plan deletion"
            )
        return super().delete_backup_plan(backup_plan_id)


class SelectionsResponse(BackupResponse):
    """The response methods of the calls above."""

    @property
    def backup_backend(self) -> SelectionsBackend:
        """The backend of the request's account and region."""
        return cast(SelectionsBackend, super().backup_backend)

    def create_backup_selection(self) -> str:
        """Answer CreateBackupSelection."""
        selection = self.backup_backend.create_backup_selection(
            self._plan_id(), self._get_param("BackupSelection"), self._get_param("CreatorRequestId")
        )
        return json.dumps(selection.created())

    def get_backup_selection(self) -> str:
        """Answer GetBackupSelection."""
        selection = self.backup_backend.get_backup_selection(self._plan_id(), self._selection_id())
        return json.dumps(selection.detail())

    def list_backup_selections(self) -> str:
        """Answer ListBackupSelections."""
        selections = self.backup_backend.list_backup_selections(self._plan_id())
        return json.dumps({"BackupSelectionsList": [s.summary() for s in selections]})

    def delete_backup_selection(self) -> str:
        """Answer DeleteBackupSelection."""
        self.backup_backend.delete_backup_selection(self._plan_id(), self._selection_id())
        return ""

    def update_backup_plan(self) -> str:
        """Answer UpdateBackupPlan."""
        plan = self.backup_backend.update_backup_plan(
            self._plan_id(), self._get_param("BackupPlan")
        )
        return json.dumps(plan.to_dict())

    def list_recovery_points_by_backup_vault(self) -> str:
        """Answer ListRecoveryPointsByBackupVault: none, of a vault that exists."""
        self.backup_backend.describe_backup_vault(self._vault_name())
        return json.dumps({"RecoveryPoints": []})

    def list_tags(self) -> str:
        """Answer ListTags, with or without a slash at the end of the path."""
        arn = unquote(self.path.partition("/tags/")[2].strip("/"))
        return json.dumps({"Tags": self.backup_backend.list_tags(arn)})

    def _vault_name(self) -> str:
        return unquote(self.path.strip("/").split("/")[1])

    def _plan_id(self) -> str:
        return self.path.strip("/").split("/")[2]

    def _selection_id(self) -> str:
        return self.path.strip("/").split("/")[4]


def install() -> None:
    """Put this extension in the place of moto's own AWS Backup, and open the path it lacks."""
    urls.url_paths["{0}/backup-vaults/(?P<name>[^/]+)/recovery-points/$"] = (
        SelectionsResponse.dispatch
    )
    substitute(backup_backends, urls, SelectionsBackend, SelectionsResponse)
