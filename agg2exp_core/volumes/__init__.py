"""Room: volumes."""
