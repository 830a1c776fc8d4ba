"""Pictures: predictions drawn by the stock visualizers, and how tasks share units."""

from .affinity_map import affinity_map, usage_map
from .draw import build_visualizer, draw_sample, stock_visualizer
from .figures import save, to_array, to_png
from .image import enlarge, load_image
from .montage import plot_montage
from .route_movement import movement_curves, movement_map
from .routing_map import routing_map
from .routing_page import routing_page

__all__ = [
    "affinity_map",
    "build_visualizer",
    "draw_sample",
    "enlarge",
    "load_image",
    "movement_curves",
    "movement_map",
    "plot_montage",
    "routing_map",
    "routing_page",
    "save",
    "stock_visualizer",
    "to_array",
    "to_png",
    "usage_map",
]
