"""What features mean: explanations, and which page belongs to an SAE and a feature."""
