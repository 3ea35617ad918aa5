"""What Prefect and the fan-out cost: ``python -m benchmarks.scale``."""
