"""DeepMOT: differentiable MOTA and MOTP, and the trackers trained with them (Xu et al., CVPR 2020).

The path of data, which is also the order of imports: boxes -> ``distance`` -> (D) -> ``dhn`` -> (soft A) ->
``loss`` -> gradient to the tracker; and tracker -> result files (``mot``) -> ``evaluation`` -> ``tables``.
"""
