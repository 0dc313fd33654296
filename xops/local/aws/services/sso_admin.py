"""IAM Identity Center (sso-admin): tags and provisioning status of permission sets.

AWS: ListTagsForResource answers a permission set's tags, TagResource merges, UntagResource drops;
an unknown ARN is ResourceNotFoundException. After a change, ProvisionPermissionSet copies a set to
its accounts in the background and DescribePermissionSetProvisioningStatus answers how far it got.

moto 5.2.5 keeps the tags of CreatePermissionSet but has none of the three calls, and it starts a
provisioning without a way to ask for its end. Terraform's provider lists the tags after every read
and waits for the provisioning after a policy is attached.

Source: https://docs.aws.amazon.com/singlesignon/latest/APIReference/API_ListTagsForResource.html
"""

import json
from typing import Any, cast

from moto.ssoadmin import urls
from moto.ssoadmin.exceptions import ResourceNotFoundException
from moto.ssoadmin.models import PermissionSet, SSOAdminBackend, ssoadmin_backends
from moto.ssoadmin.responses import SSOAdminResponse

from xops.local.aws.extension import substitute

Tags = list[dict[str, str]]


class TaggedPermissionSetsBackend(SSOAdminBackend):
    """moto's Identity Center with readable tags and provisionings that end."""

    def __init__(self, region_name: str, account_id: str):
        super().__init__(region_name, account_id)
        self.provisionings: dict[str, dict[str, Any]] = {}

    def describe_permission_set_provisioning_status(self, request_id: str) -> dict[str, Any]:
        """Answer a provisioning, which always has succeeded by then."""
        try:
            return self.provisionings[request_id]
        except KeyError:
            raise ResourceNotFoundException(f"Could not find request {request_id}") from None

    def list_tags_for_resource(self, resource_arn: str) -> Tags:
        """Answer the tags of a permission set."""
        return list(self._permission_set(resource_arn).tags or [])

    def tag_resource(self, resource_arn: str, tags: Tags) -> None:
        """Add tags, replacing values of keys the permission set has."""
        kept = self._without(resource_arn, [tag["Key"] for tag in tags])
        self._permission_set(resource_arn).tags = kept + tags

    def untag_resource(self, resource_arn: str, tag_keys: list[str]) -> None:
        """Drop tags; a key the permission set does not have is no error."""
        self._permission_set(resource_arn).tags = self._without(resource_arn, tag_keys)

    def _without(self, resource_arn: str, keys: list[str]) -> Tags:
        return [t for t in self.list_tags_for_resource(resource_arn) if t["Key"] not in keys]

    def _permission_set(self, resource_arn: str) -> PermissionSet:
        for permission_set in self.permission_sets:
            if permission_set.permission_set_arn == resource_arn:
                return permission_set
        raise ResourceNotFoundException(f"Could not find a resource with ARN {resource_arn}")


class TaggedPermissionSetsResponse(SSOAdminResponse):
    """The response methods of the calls above."""

    @property
    def ssoadmin_backend(self) -> TaggedPermissionSetsBackend:
        """The backend of the request's account and region."""
        return cast(TaggedPermissionSetsBackend, super().ssoadmin_backend)

    def list_tags_for_resource(self) -> str:
        """Answer ListTagsForResource."""
        tags = self.ssoadmin_backend.list_tags_for_resource(self._get_param("ResourceArn"))
        return json.dumps({"Tags": tags})

    def tag_resource(self) -> str:
        """Answer TagResource."""
        self.ssoadmin_backend.tag_resource(
            self._get_param("ResourceArn"), self._get_param("Tags", [])
        )
        return json.dumps({})

    def provision_permission_set(self) -> str:
        """Provision as moto does, and remember what was asked for."""
        answer = super().provision_permission_set()
        status = json.loads(answer)["PermissionSetProvisioningStatus"]
        self.ssoadmin_backend.provisionings[status["RequestId"]] = status | {"Status": "SUCCEEDED"}
        return answer

    def describe_permission_set_provisioning_status(self) -> str:
        """Answer DescribePermissionSetProvisioningStatus."""
        status = self.ssoadmin_backend.describe_permission_set_provisioning_status(
            self._get_param("ProvisionPermissionSetRequestId")
        )
        return json.dumps({"PermissionSetProvisioningStatus": status})

    def untag_resource(self) -> str:
        """Answer UntagResource."""
        self.ssoadmin_backend.untag_resource(
            self._get_param("ResourceArn"), self._get_param("TagKeys", [])
        )
        return json.dumps({})


def install() -> None:
    """Put this extension in the place of moto's own Identity Center."""
    substitute(ssoadmin_backends, urls, TaggedPermissionSetsBackend, TaggedPermissionSetsResponse)
