"""Speed of the attribution engine, as ratios in one run: ``python -m benchmarks.attribution``.

`case` makes the scan and the network; each other module gives the rows of one subject: `gradients`
(against their bare network passes and Captum's Saliency), `shapley` (against Captum's KernelShap),
`storing` (against computing alone), `reduction` (against a loop over masks, and reading alone),
`memory` (against a slab a class).
"""
