"""From deliveries in the inbox to runs: which of them start what, and the loop that starts it."""
