"""Room: attribution."""
