"""Notices through real servers: a webhook's receiver, SNS and Secrets Manager."""

import json
import logging
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
import pytest

from blocks import Notification
from tests import aws_by_name
from tests.aws_by_name import AwsByName
from tests.hostile import HOSTILE
from xops.core.errors import PermanentError, TemporaryError, XopsError

PATH = "/services/T0/B0/canary-of-the-url"
KEYS = {"AWS_ACCESS_KEY_ID": "emulator", "AWS_SECRET_ACCESS_KEY": "emulator"}


class Receiver(ThreadingHTTPServer):
    """Answers with the statuses given, the last one again and again; keeps what it was sent."""

    def __init__(self, *statuses: int, headers: dict[str, str] | None = None) -> None:
        self.statuses = list(statuses)
        self.headers = headers or {}
        self.received: list[Any] = []
        super().__init__(("127.0.0.1", 0), Answer)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}{PATH}"


class Answer(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append(json.loads(body))
        later = len(self.server.statuses) > 1
        self.send_response(self.server.statuses.pop(0) if later else self.server.statuses[0])
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def receiver() -> Iterator[Callable[..., Receiver]]:
    started: list[Receiver] = []

    def start(*statuses: int, **options: Any) -> Receiver:
        server = Receiver(*statuses, **options)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        started.append(server)
        return server

    yield start
    for server in started:
        server.shutdown()
        server.server_close()


def post(url: str, waits: list[float] | None = None) -> None:
    waits = [] if waits is None else waits
    block = Notification(kind="webhook", url_variable="HOOK")
    block.notify("drift", "ecs/prod differs", environ={"HOOK": url}, sleep=waits.append)


def test_a_webhook_is_told_once(receiver: Callable[..., Receiver]) -> None:
    server = receiver(200)
    post(server.url)
    assert server.received == [{"text": "drift\n\necs/prod differs"}]


@pytest.mark.parametrize(
    "text",
    [
        *HOSTILE.values(),
        "<!channel> <!here|now> <!everyone> <@U1> <#C1> <!subteam^S1> <!date^1^{date}|x>",
        "<https://evil.example|Approve> [Approve](https://evil.example) ![x](https://evil.example)",
        "@all @channel @here @someone <at>All</at> <users/all>",
        "&lt;!channel&gt; &amp;lt;!channel&amp;gt;",
    ],
)
def test_nothing_in_a_notice_calls_anybody_or_hides_an_address(
    receiver: Callable[..., Receiver], text: str
) -> None:
    server = receiver(200)
    block = Notification(kind="webhook", url_variable="HOOK")
    block.notify(text, f"{text}\n{text}", environ={"HOOK": server.url})
    (sent,) = server.received
    assert not set("<>") & set(sent["text"])  # Slack's markup, Teams' mentions, Google Chat's
    assert not re.search(r"[@#]\w", sent["text"])  # Mattermost, GitHub
    assert not re.search(r"\][(\[:]", sent["text"])  # links of Markdown with another text
    assert not re.search(r"&(?!amp;|lt;|gt;)", sent["text"])


def test_a_wait_that_is_no_number_is_none(receiver: Callable[..., Receiver]) -> None:
    server = receiver(503, 200, headers={"Retry-After": "\u00b2"})
    waits: list[float] = []
    post(server.url, waits)
    assert waits == [0.5]


def test_what_a_receiver_says_is_not_read(receiver: Callable[..., Receiver]) -> None:
    server = receiver(200, headers={"Content-Length": str(1 << 40)})
    post(server.url)
    assert len(server.received) == 1


def test_a_busy_receiver_is_tried_again_when_it_says_so(receiver: Callable[..., Receiver]) -> None:
    server = receiver(429, 503, 200, headers={"Retry-After": "7"})
    waits: list[float] = []
    post(server.url, waits)
    assert (len(server.received), waits) == (3, [7, 7])


def test_a_receiver_that_stays_busy_is_given_up_after_four(
    receiver: Callable[..., Receiver],
) -> None:
    server = receiver(500)
    waits: list[float] = []
    with pytest.raises(TemporaryError, match="answered 500"):
        post(server.url, waits)
    assert (len(server.received), waits) == (4, [0.5, 1, 2])


def test_a_refusal_is_final(receiver: Callable[..., Receiver]) -> None:
    server = receiver(404)
    with pytest.raises(PermanentError, match="answered 404"):
        post(server.url)
    assert len(server.received) == 1


def causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def failure(url: str) -> XopsError | None:
    try:
        post(url)
    except XopsError as error:
        return error
    return None


@pytest.mark.parametrize("status", [200, 404, None], ids=["delivered", "refused", "unreachable"])
def test_the_url_is_told_to_nobody(
    receiver: Callable[..., Receiver], caplog: pytest.LogCaptureFixture, status: int | None
) -> None:
    caplog.set_level(logging.DEBUG)
    url = receiver(status).url if status else f"http://127.0.0.1:1{PATH}"
    told = [f"{e!r} {e} {vars(e)}" for e in causes(failure(url))]
    assert "canary" not in "".join(told)
    assert "canary" not in caplog.text


@pytest.mark.parametrize(
    "url",
    ["canary", "canary://a", "http://canary.example.com/hook", "https://", "https://canary:port"],
)
def test_a_url_that_others_could_read_is_refused_without_being_told(url: str) -> None:
    with pytest.raises(PermanentError, match="holds no https") as caught:
        post(url)
    assert "canary" not in str(caught.value)


def test_a_missing_variable_is_named() -> None:
    with pytest.raises(PermanentError, match="HOOK"):
        post("")


@pytest.fixture(scope="module")
def by_name() -> Iterator[AwsByName]:
    with aws_by_name.running() as servers:
        yield servers


@pytest.fixture
def reach(by_name: AwsByName, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """A client of the same AWS as the code under test finds."""
    for name, value in {**KEYS, **by_name.environ}.items():
        monkeypatch.setenv(name, value)
    return lambda service: boto3.client(service, region_name="ap-southeast-2")


def test_a_topic_is_published_to(reach: Callable[[str], Any]) -> None:
    sns, sqs = reach("sns"), reach("sqs")
    topic = sns.create_topic(Name="xops")["TopicArn"]
    queue = sqs.create_queue(QueueName="seen")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn["Attributes"]["QueueArn"])
    Notification(kind="sns", topic_arn=topic).notify("drift\n" + 200 * "é", "ecs/prod")
    message = json.loads(sqs.receive_message(QueueUrl=queue)["Messages"][0]["Body"])
    assert message["Message"] == "ecs/prod"
    assert message["Subject"] == ("drift " + 200 * "?")[:100]


def test_a_topic_that_is_gone_is_a_permanent_error(reach: Callable[[str], Any]) -> None:
    arn = "arn:aws:sns:ap-southeast-2:123456789012:gone"
    with pytest.raises(PermanentError, match="gone"):
        Notification(kind="sns", topic_arn=arn).notify("drift", "", sleep=lambda s: None)


def test_a_webhooks_url_is_read_from_its_secret(
    reach: Callable[[str], Any], receiver: Callable[..., Receiver]
) -> None:
    server = receiver(200)
    secret = reach("secretsmanager").create_secret(Name="xops/hook", SecretString=server.url)
    Notification(kind="webhook", url_secret_arn=secret["ARN"]).notify("drift", "ecs/prod")
    assert len(server.received) == 1


def test_the_log_is_the_embedded_default(caplog: pytest.LogCaptureFixture) -> None:
    Notification().notify("drift", "ecs/local differs")
    assert "drift\necs/local differs" in caplog.text
