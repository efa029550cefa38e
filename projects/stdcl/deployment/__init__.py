"""Export, conversion and stripping of trained models."""
