"""Data sets: reading, batching, inspecting; the embedded synthetic rooms."""
