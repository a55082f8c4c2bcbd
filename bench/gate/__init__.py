"""What must not get worse, and whether it has: budgets of round trips and ratios of CPU time."""
