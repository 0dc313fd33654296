"""What the platform costs: prices, what plans and environments come to, and their budgets."""
