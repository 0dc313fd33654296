"""The limits that the environment's rules repeat, against AWS's own service models."""

import gzip
import json
import re
from pathlib import Path

import botocore
import pytest
import yaml

from xops.core.errors import InputError
from xops.ecs import environment
from xops.ecs.environment import Environment

LOGS = Path(botocore.__file__).parent / "data" / "logs" / "2014-03-28" / "service-2.json.gz"


def test_log_retention_is_what_cloudwatch_s_model_lists(tmp_path: Path) -> None:
    documentation = json.loads(gzip.decompress(LOGS.read_bytes()))["shapes"]["Days"]
    listed = re.search(r"Possible values are: (.*?)\.<", documentation["documentation"])
    assert listed is not None
    document = yaml.safe_load((environment.FOLDER / "local.yaml").read_text())
    file = tmp_path / "local.yaml"
    file.write_text(yaml.safe_dump({**document, "log_retention_days": 0}))

    with pytest.raises(InputError) as caught:
        Environment.load("local", folder=tmp_path, environ={})

    accepted = re.findall(r"\d+", caught.value.findings[0].message.split("(found")[0])
    assert accepted == re.findall(r"\d+", listed[1])
