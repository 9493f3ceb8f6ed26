"""What hsm costs, measured beside what bounds it: run.py is the entry."""
