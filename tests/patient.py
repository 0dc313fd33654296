"""HTTP to a Prefect server whose SQLite is locked now and then."""

from collections.abc import Callable

import httpx
import tenacity


def sent_again[Answer](send: Callable[[], Answer], status: Callable[[Answer], int]) -> Answer:
    """The first answer that is not 503, as with Prefect's own client; after a minute any."""
    retrying = tenacity.Retrying(
        stop=tenacity.stop_after_delay(60),
        wait=tenacity.wait_fixed(1),
        retry=tenacity.retry_if_result(lambda answer: status(answer) == 503),
        retry_error_callback=lambda state: state.outcome.result(),  # type: ignore[union-attr]
    )
    return retrying(send)


class Patient(httpx.BaseTransport):
    """Sends again what a busy server answers with 503."""

    def __init__(self) -> None:
        self._inner = httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return sent_again(
            lambda: self._inner.handle_request(request), lambda response: response.status_code
        )
