"""Stream 2: a K3S cluster on hosts that are reached over SSH."""
