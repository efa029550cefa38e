"""Converters from raw data sets to annotation files."""
