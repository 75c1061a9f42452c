"""The container: one process that serves one processor."""
