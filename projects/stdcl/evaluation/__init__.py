"""Evaluation of models: score files, fusion, feature quality and costs."""
