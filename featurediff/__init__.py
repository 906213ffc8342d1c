"""Compare which SAE features a chat model uses differently from its base model."""
