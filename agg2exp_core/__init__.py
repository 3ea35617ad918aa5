"""The core: everything that is computed, without Prefect."""
