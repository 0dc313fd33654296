"""What is done to a cluster: plan, apply, verify, status."""
