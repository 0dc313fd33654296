"""What is known of the hosts: facts, topology, preflight, diagnosis."""
