"""What people type and what they read: the words, the pages of help, tables, live lines and reports."""
