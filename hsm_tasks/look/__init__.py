"""Questions about a stack: its status, its plan, its picture, and what changes while one watches."""
