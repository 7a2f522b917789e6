"""A run on disk and what it may spend: settings, events, budget, paid calls."""
