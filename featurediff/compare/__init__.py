"""Several sources beside each other."""
