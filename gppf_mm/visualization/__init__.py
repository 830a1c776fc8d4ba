"""Pictures: predictions drawn by the stock visualizers, and the routing map."""

from .draw import build_visualizer, draw_sample, stock_visualizer
from .image import enlarge, load_image
from .montage import plot_montage
from .routing_map import mixing_weights, plot_routing_map

__all__ = [
    "build_visualizer",
    "draw_sample",
    "enlarge",
    "load_image",
    "mixing_weights",
    "plot_montage",
    "plot_routing_map",
    "stock_visualizer",
]
