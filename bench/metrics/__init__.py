"""Metrics: pure functions of prediction, ground truth and mask, one figure an image."""
