"""Production serving: HTTP in, predictions out, every row in the log first. It records; it never judges."""
