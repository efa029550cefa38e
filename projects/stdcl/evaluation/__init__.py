"""Scores of test runs: files, fusion and metrics."""
