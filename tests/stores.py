"""An evidence store in memory that can be told to fail, for tests of what stands on one."""

from collections.abc import Callable
from dataclasses import dataclass, field

from xops.core.errors import PermanentError, XopsError
from xops.core.evidence.stores import exists, missing


@dataclass
class MemoryStore:
    """Keeps the promises of `EvidenceStore`; `fails` are raised by the next puts, one each."""

    objects: dict[str, bytes] = field(default_factory=dict)
    fails: list[XopsError | None] = field(default_factory=list)
    before_put: Callable[[str], None] = lambda key: None
    is_there: bool = True

    def put(self, key: str, body: bytes) -> None:
        self.before_put(key)
        if error := self.fails.pop(0) if self.fails else None:
            raise error
        if not self.is_there:
            raise PermanentError(f"keeping {key}", "there is no such bucket", "Make it.")
        if self.objects.setdefault(key, body) != body:
            raise exists(self.address(key))

    def read(self, key: str) -> bytes:
        if key not in self.objects:
            raise missing(self.address(key))
        return self.objects[key]

    def keys(self, prefix: str) -> list[str]:
        return sorted(key for key in self.objects if key.startswith(prefix))

    def address(self, key: str) -> str:
        return f"memory://{key}"


def denied() -> PermanentError:
    return PermanentError("keeping a record", "AccessDenied", "Correct the role's rights.")
