"""The world: one module for each thing outside."""
