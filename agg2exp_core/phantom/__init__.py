"""Synthetic thorax CT: analytic anatomy, deterministic from a seed, for demonstrations and tests."""

from agg2exp_core.phantom.render import Phantom, make_phantom

__all__ = ["Phantom", "make_phantom"]
