"""Frozen encoders: where their weights come from, and what they see in an image."""
