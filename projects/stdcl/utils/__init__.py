"""Skeleton layouts, safe file access, config checks and other helpers."""
