"""Deployments of the flows, as code."""
