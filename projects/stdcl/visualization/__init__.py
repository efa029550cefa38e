"""Moving skeletons as pictures and pages."""
