"""Prefect block types. They hold references (ARNs, paths, names of secrets), never a secret.

    environment   which file describes an environment, and how it is reached
    aws           a profile or a role
    notification  where notices go

`python -m blocks` registers them and saves the default documents.
"""

from blocks.aws import AwsAccess
from blocks.environment import EcsEnvironment
from blocks.notification import Notification

__all__ = ["AwsAccess", "EcsEnvironment", "Notification"]
