"""Where charges are kept: read from exports and Cost Explorer, a partition a billing period."""
