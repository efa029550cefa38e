"""Skeleton layouts and reading files that are not trusted."""
