"""Answers that need no stack that works: init, doctor, schema, explain, completion."""
