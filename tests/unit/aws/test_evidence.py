"""Records in a bucket: one conditional request each."""

from typing import Any

from xops.aws.evidence import S3Store


class RecordingS3:
    """boto3's `put_object`, exact in what it refuses: a key that is there already."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []

    def put_object(self, **arguments: Any) -> None:
        if arguments.get("IfNoneMatch") == "*":
            assert arguments["Key"] not in [row["Key"] for row in self.requests]
        self.requests.append(arguments)


def test_an_object_is_put_on_the_condition_that_none_is_there() -> None:
    client = RecordingS3()

    address = S3Store(client, "records", "/evidence/").put("ecs/one.json", b"{}")

    assert address == "s3://records/evidence/ecs/one.json"
    assert client.requests == [
        {
            "Bucket": "records",
            "Key": "evidence/ecs/one.json",
            "Body": b"{}",
            "ContentType": "application/json",
            "IfNoneMatch": "*",
        }
    ]
