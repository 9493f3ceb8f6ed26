"""Steps on doit: what makes one stale, what is remembered of it, and what came of it in this run."""
