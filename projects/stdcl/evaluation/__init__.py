"""Evaluation: score files, fusion, features and costs of models."""
