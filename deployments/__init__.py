"""Work pools, deployments, schedules and workers, as code: what makes a service of the flows."""
