"""Coding agents: their process, their workspace, and how they ask for scores."""
