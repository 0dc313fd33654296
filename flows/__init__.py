"""One module a lifecycle step: parameters, order of steps, gate, artifacts. No logic."""
