"""Converters of raw data sets to annotation files, one data set a file."""
