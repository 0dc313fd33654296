"""The embedded AWS, asked through boto3."""

from tests.embedded_aws import client, endpoint

__all__ = ["client", "endpoint"]
