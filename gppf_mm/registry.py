"""Child registries of MMEngine's root registries, with scope ``gppf_mm``.

Each names the module that registers its components, so that a config that says
``gppf_mm.SIMTRunner`` imports just what it needs. MMEngine warns when a build under
the default scope ``gppf_mm`` meets a registry without a child of that scope, so there
is one for each that a config reaches, also where nothing of ours is registered.
"""

from mmengine import registry as root
from mmengine.registry import Registry


def _child(parent: Registry, location: str) -> Registry:
    return Registry(parent.name, parent=parent, scope="gppf_mm", locations=[location])


RUNNERS = _child(root.RUNNERS, "gppf_mm.engine.runner")
LOOPS = _child(root.LOOPS, "gppf_mm.engine.runner")
LOG_PROCESSORS = _child(root.LOG_PROCESSORS, "gppf_mm.engine.runner")
HOOKS = _child(root.HOOKS, "gppf_mm.engine.hooks")
OPTIMIZERS = _child(root.OPTIMIZERS, "gppf_mm.engine")
OPTIM_WRAPPERS = _child(root.OPTIM_WRAPPERS, "gppf_mm.engine")
OPTIM_WRAPPER_CONSTRUCTORS = _child(
    root.OPTIM_WRAPPER_CONSTRUCTORS, "gppf_mm.engine.optim"
)
PARAM_SCHEDULERS = _child(root.PARAM_SCHEDULERS, "gppf_mm.engine")
MODEL_WRAPPERS = _child(root.MODEL_WRAPPERS, "gppf_mm.engine.distributed")
MODELS = _child(root.MODELS, "gppf_mm.models")
WEIGHT_INITIALIZERS = _child(root.WEIGHT_INITIALIZERS, "gppf_mm.models")
TASK_UTILS = _child(root.TASK_UTILS, "gppf_mm.models")
DATASETS = _child(root.DATASETS, "gppf_mm.datasets")
DATA_SAMPLERS = _child(root.DATA_SAMPLERS, "gppf_mm.datasets")
TRANSFORMS = _child(root.TRANSFORMS, "gppf_mm.datasets")
FUNCTIONS = _child(root.FUNCTIONS, "gppf_mm.datasets")
METRICS = _child(root.METRICS, "gppf_mm.evaluation")
EVALUATOR = _child(root.EVALUATOR, "gppf_mm.evaluation")
VISUALIZERS = _child(root.VISUALIZERS, "gppf_mm.visualization")
VISBACKENDS = _child(root.VISBACKENDS, "gppf_mm.visualization")
