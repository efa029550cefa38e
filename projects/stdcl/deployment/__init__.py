"""Export and conversion of trained models, and removal of STD-CL."""
