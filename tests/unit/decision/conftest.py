"""scipy takes seconds to import on a busy machine: while collecting, not within a test's limit."""

import scipy.optimize  # noqa: F401
