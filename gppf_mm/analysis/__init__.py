"""Analysis: what a multi-task model costs, and how its tasks share the units.

`gppf_mm.analysis.routing` reads the tasks' mixing weights and how they move; the engine
notes them with it. `gppf_mm.analysis.complexity` counts FLOPs and parameters beside the
stock models; it stands on the export. Nothing here draws; see `gppf_mm.visualization`.
"""
