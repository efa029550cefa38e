"""Comparisons of trainings: study files, their runner, results, tables."""
