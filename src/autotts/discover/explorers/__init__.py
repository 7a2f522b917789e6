"""Explorers: who proposes."""
