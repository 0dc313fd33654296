"""HTTP to a Prefect server whose SQLite is locked now and then."""

import httpx
import tenacity


class Patient(httpx.BaseTransport):
    """Sends again what a busy server answers with 503, as Prefect's own client does."""

    def __init__(self) -> None:
        self._inner = httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_delay(60),
            wait=tenacity.wait_fixed(1),
            retry=tenacity.retry_if_result(lambda response: response.status_code == 503),
            retry_error_callback=lambda state: state.outcome.result(),  # type: ignore[union-attr]
        )
        return retrying(self._inner.handle_request, request)
