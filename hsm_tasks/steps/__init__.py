"""What each step is as a task, what makes it stale, and what it does."""
