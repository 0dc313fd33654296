"""CloudFront: managed policies, and distributions read back as they were configured.

AWS: every account can use policies that CloudFront manages. `List...Policies` lists them (and those
of the account, by `Type`), `Get...Policy` answers one by its id, which is the same in all accounts;
an unknown id is NoSuchCachePolicy, NoSuchOriginRequestPolicy or NoSuchResponseHeadersPolicy (404).

moto 5.2.5 has none of these calls, not even their paths, so Terraform cannot find
`Managed-CachingDisabled` by name. Here are the policies that a dynamic site behind a load balancer
uses; custom policies are not emulated.

A cache behaviour has either a cache policy or (legacy) forwarded values, and a viewer certificate
is CloudFront's own or one of ACM. moto answers both of both, and Terraform wants to remove one of
each in every plan.

Sources: https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/using-managed-cache-policies.html
and the pages next to it for the other two kinds.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

from moto.cloudfront import urls
from moto.cloudfront.models import CloudFrontBackend, Distribution, cloudfront_backends
from moto.cloudfront.responses import CloudFrontResponse
from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult

from xops.local.aws.extension import substitute

MANAGED_SINCE = datetime(2020, 7, 22, tzinfo=UTC)
PATHS = ("cache-policy", "origin-request-policy", "response-headers-policy")

Config = dict[str, Any]
ALL_COOKIES = {"CookieBehavior": "all"}
ALL_QUERIES = {"QueryStringBehavior": "all"}
NO_COOKIES = {"CookieBehavior": "none"}
NO_QUERIES = {"QueryStringBehavior": "none"}


@dataclass(frozen=True)
class Kind:
    """A kind of policy: how the API names it, and the managed ones by id."""

    name: str
    plural: str
    managed: dict[str, Config]


def _cache(name: str, minimum: int, default: int, maximum: int, compressed: bool) -> Config:
    return {
        "Name": f"Managed-{name}",
        "MinTTL": minimum,
        "DefaultTTL": default,
        "MaxTTL": maximum,
        "ParametersInCacheKeyAndForwardedToOrigin": {
            "EnableAcceptEncodingGzip": compressed,
            "EnableAcceptEncodingBrotli": compressed,
            "HeadersConfig": {"HeaderBehavior": "none"},
            "CookiesConfig": NO_COOKIES,
            "QueryStringsConfig": NO_QUERIES,
        },
    }


def _origin(name: str, headers: Config, cookies: Config, queries: Config) -> Config:
    return {
        "Name": f"Managed-{name}",
        "HeadersConfig": headers,
        "CookiesConfig": cookies,
        "QueryStringsConfig": queries,
    }


def _headers(behaviour: str, *names: str) -> Config:
    items = {"Headers": {"Quantity": len(names), "Items": list(names)}} if names else {}
    return {"HeaderBehavior": behaviour, **items}


CORS = ("origin", "access-control-request-headers", "access-control-request-method")
YEAR, DAY = 31_536_000, 86_400

CACHE = Kind(
    "CachePolicy",
    "CachePolicies",
    {
        "658327ea-f89d-4fab-a63d-7e88639e58f6": _cache("CachingOptimized", 1, DAY, YEAR, True),
        "4135ea2d-6df8-44a3-9df3-4b5a84be39ad": _cache("CachingDisabled", 0, 0, 0, False),
        "b2884449-e4de-46a7-ac36-70bc7f1ddd6d": _cache(
            "CachingOptimizedForUncompressedObjects", 1, DAY, YEAR, False
        ),
    },
)
ORIGIN_REQUEST = Kind(
    "OriginRequestPolicy",
    "OriginRequestPolicies",
    {
        "216adef6-5c7f-47e4-b989-5492eafa07d3": _origin(
            "AllViewer", _headers("allViewer"), ALL_COOKIES, ALL_QUERIES
        ),
        "b689b0a8-53d0-40ab-baf2-68738e2966ac": _origin(
            "AllViewerExceptHostHeader", _headers("allExcept", "host"), ALL_COOKIES, ALL_QUERIES
        ),
        "88a5eaf4-2fd4-4709-b370-b4c650ea3fcf": _origin(
            "CORS-S3Origin", _headers("whitelist", *CORS), NO_COOKIES, NO_QUERIES
        ),
    },
)
RESPONSE_HEADERS = Kind(
    "ResponseHeadersPolicy",
    "ResponseHeadersPolicies",
    {
        "67f7725c-6f97-4210-82d7-5512b31e9d03": {
            "Name": "Managed-SecurityHeadersPolicy",
            "SecurityHeadersConfig": {
                "XSSProtection": {"Override": False, "Protection": True, "ModeBlock": True},
                "FrameOptions": {"Override": False, "FrameOption": "SAMEORIGIN"},
                "ReferrerPolicy": {
                    "Override": False,
                    "ReferrerPolicy": "strict-origin-when-cross-origin",
                },
                "ContentTypeOptions": {"Override": True},
                "StrictTransportSecurity": {"Override": False, "AccessControlMaxAgeSec": YEAR},
            },
        },
    },
)


def _drop_alternatives(distribution: Distribution) -> None:
    # moto keeps the members of the request as attributes under their AWS names.
    config: Config = vars(distribution.distribution_config)
    behaviours = [config["DefaultCacheBehavior"], *(config["CacheBehaviors"].get("Items") or [])]
    for behaviour in behaviours:
        if behaviour.cache_policy_id:
            behaviour.forwarded_values = None
    certificate = config["ViewerCertificate"]
    if certificate.acm_certificate_arn or certificate.iam_certificate_id:
        certificate.cloud_front_default_certificate = False
    else:
        certificate.acm_certificate_arn = certificate.iam_certificate_id = None
        certificate.ssl_support_method = None


class NoSuchPolicyError(ServiceException):
    """No policy of a kind has this id."""

    def __init__(self, kind: Kind):
        super().__init__(f"NoSuch{kind.name}", f"The {kind.name} does not exist.")


class ManagedPoliciesBackend(CloudFrontBackend):
    """moto's CloudFront with the policies that AWS manages."""

    def create_distribution_with_tags(
        self, distribution_config: Config, tags: list[dict[str, str]]
    ) -> tuple[Distribution, str, str]:
        """Create as moto does, without what the request did not ask for."""
        created = super().create_distribution_with_tags(distribution_config, tags)
        _drop_alternatives(created[0])
        return created

    def update_distribution(
        self, dist_config: Config, _id: str, if_match: bool
    ) -> tuple[Distribution, str, str]:
        """Update as moto does, without what the request did not ask for."""
        updated = super().update_distribution(dist_config, _id, if_match)
        _drop_alternatives(updated[0])
        return updated

    def list_policies(self, kind: Kind, policy_type: str | None) -> list[Config]:
        """Answer the summaries of a kind; there are none of type `custom`."""
        if policy_type == "custom":
            return []
        return [
            {"Type": "managed", kind.name: self.get_policy(kind, identity)}
            for identity in kind.managed
        ]

    def get_policy(self, kind: Kind, identity: str) -> Config:
        """Answer a policy by its id."""
        if identity not in kind.managed:
            raise NoSuchPolicyError(kind)
        return {
            "Id": identity,
            "LastModifiedTime": MANAGED_SINCE,
            f"{kind.name}Config": kind.managed[identity],
        }


class ManagedPoliciesResponse(CloudFrontResponse):
    """The response methods of the calls above."""

    @property
    def backend(self) -> ManagedPoliciesBackend:
        """The backend of the request's account."""
        return cast(ManagedPoliciesBackend, super().backend)

    def list_cache_policies(self) -> ActionResult:
        """Answer ListCachePolicies."""
        return self._list(CACHE)

    def list_origin_request_policies(self) -> ActionResult:
        """Answer ListOriginRequestPolicies."""
        return self._list(ORIGIN_REQUEST)

    def list_response_headers_policies(self) -> ActionResult:
        """Answer ListResponseHeadersPolicies."""
        return self._list(RESPONSE_HEADERS)

    def get_cache_policy(self) -> ActionResult:
        """Answer GetCachePolicy."""
        return self._get(CACHE)

    def get_origin_request_policy(self) -> ActionResult:
        """Answer GetOriginRequestPolicy."""
        return self._get(ORIGIN_REQUEST)

    def get_response_headers_policy(self) -> ActionResult:
        """Answer GetResponseHeadersPolicy."""
        return self._get(RESPONSE_HEADERS)

    def _list(self, kind: Kind) -> ActionResult:
        items = self.backend.list_policies(kind, self._get_param("Type"))
        page = {"MaxItems": 100, "Quantity": len(items), "Items": items}
        return ActionResult({f"{kind.name}List": page})

    def _get(self, kind: Kind) -> ActionResult:
        identity = self._get_param("Id")
        return ActionResult(
            {kind.name: self.backend.get_policy(kind, identity), "ETag": "E1MANAGED"}
        )


def install() -> None:
    """Put this extension in the place of moto's own CloudFront, and open the paths it lacks."""
    for path in PATHS:
        urls.url_paths[f"{{0}}/2020-05-31/{path}$"] = ManagedPoliciesResponse.dispatch
        urls.url_paths[f"{{0}}/2020-05-31/{path}/(?P<policy_id>[^/]+)$"] = (
            ManagedPoliciesResponse.dispatch
        )
    substitute(cloudfront_backends, urls, ManagedPoliciesBackend, ManagedPoliciesResponse)
