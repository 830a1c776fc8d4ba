"""FLOPs and parameters of each task, beside its stock model's."""

from .flops import count_flops, image_input
from .image_shape import find_image_shape
from .parameters import ParameterCount, assembly_flops, count_parameters
from .tasks import Complexity, ModelComplexity, measure_tasks

__all__ = [
    "Complexity",
    "ModelComplexity",
    "ParameterCount",
    "assembly_flops",
    "count_flops",
    "count_parameters",
    "find_image_shape",
    "image_input",
    "measure_tasks",
]
