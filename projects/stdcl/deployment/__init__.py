"""Taking a trained model elsewhere, and bringing the authors' here."""
