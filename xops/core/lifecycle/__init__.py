"""The order of every step that changes something: plan -> gate -> apply -> verify -> record."""
