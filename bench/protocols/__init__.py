"""Protocols: what the method sees, which pixels are scored, and what is done to a prediction."""
