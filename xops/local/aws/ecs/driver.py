"""The thread that moves the ECS scheduler on."""

import logging
import threading
import time

from moto.ecs.models import ecs_backends

from xops.local.aws.ecs.backend import SchedulingBackend

log = logging.getLogger(__name__)


class Driver(threading.Thread):
    """Ticks every ECS backend in use, twice in each step, holding the server's lock."""

    def __init__(self, lock: threading.RLock) -> None:
        super().__init__(name="ecs-scheduler", daemon=True)
        self._lock = lock
        self._stopping = threading.Event()

    def run(self) -> None:
        """Tick until `stop` is called."""
        while not self._stopping.wait(SchedulingBackend.pace.step / 2):
            with self._lock:
                self._tick()

    def stop(self) -> None:
        """End the thread after the current tick."""
        self._stopping.set()

    def _tick(self) -> None:
        for account, region, backend in ecs_backends.iter_backends():
            if not isinstance(backend, SchedulingBackend):
                continue
            try:
                backend.tick(time.time())
            except Exception:
                log.exception("the ECS scheduler failed in %s %s", account, region)
