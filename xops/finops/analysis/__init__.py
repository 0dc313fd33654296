"""What was spent: by whom and on what, where the month will end, what is odd and why."""
