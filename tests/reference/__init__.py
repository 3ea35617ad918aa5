"""Slow twins: what the paper's formulas say, in float64, with nothing streamed."""
