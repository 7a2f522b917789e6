"""The explorer that needs no model."""
