"""The weekly evaluation of the triggers of ADR-005: policy, facts, states and their history."""
