"""The shape vocabulary that the three toy domains share."""

import cv2
import numpy as np

# Sorted, because a class folder tree numbers its classes by sorted name.
SHAPES = ("circle", "cross", "square", "star", "triangle")

# Fractional bits of the fixed-point coordinates OpenCV draws with.
_SHIFT = 4


def shape_outline(
    name: str, centre: tuple[float, float], radius: float, angle: float
) -> np.ndarray:
    """Vertices of a shape inscribed in a circle.

    Args:
        name (str): One of :data:`SHAPES`.
        centre (tuple[float, float]): x and y of the circle's centre, in pixels.
        radius (float): Radius of the circumscribed circle, in pixels.
        angle (float): Counter-clockwise rotation, in radians.

    Returns:
        np.ndarray: ``(num_vertices, 2)`` x and y, in pixels.

    Raises:
        ValueError: If ``name`` is not in :data:`SHAPES`.
    """
    if name == "cross":
        vertices = _cross()
    elif name == "star":
        vertices = _regular(10) * np.where(np.arange(10) % 2, 0.42, 1.0)[:, None]
    elif name in ("circle", "square", "triangle"):
        vertices = _regular({"circle": 40, "square": 4, "triangle": 3}[name])
    else:
        raise ValueError(
            f"Unknown shape {name!r}: expected one of {', '.join(SHAPES)}."
        )
    cos, sin = np.cos(angle), np.sin(angle)
    return radius * vertices @ np.array([[cos, -sin], [sin, cos]]) + centre


def fill(outline: np.ndarray, size: int) -> np.ndarray:
    """Pixels that a closed outline covers on a square canvas.

    Args:
        outline (np.ndarray): ``(num_vertices, 2)`` x and y, in pixels.
        size (int): Side of the canvas, in pixels.

    Returns:
        np.ndarray: ``(size, size)`` bool; without anti-aliasing, so that a label
        taken from it is exact.
    """
    canvas = np.zeros((size, size), np.uint8)
    cv2.fillPoly(canvas, [_fixed_point(outline)], 1, shift=_SHIFT)
    return canvas.astype(bool)


def stroke(outline: np.ndarray, size: int, width: int, closed: bool) -> np.ndarray:
    """Ink of a pen that follows an outline on a square canvas.

    Args:
        outline (np.ndarray): ``(num_vertices, 2)`` x and y, in pixels.
        size (int): Side of the canvas, in pixels.
        width (int): Width of the pen, in pixels.
        closed (bool): Whether the pen returns to the first vertex.

    Returns:
        np.ndarray: ``(size, size)`` float32 in [0, 1], anti-aliased.
    """
    canvas = np.zeros((size, size), np.uint8)
    points = [_fixed_point(outline)]
    cv2.polylines(canvas, points, closed, 255, width, cv2.LINE_AA, _SHIFT)
    return canvas.astype(np.float32) / 255


def _regular(num_vertices: int) -> np.ndarray:
    turn = 2 * np.pi * np.arange(num_vertices) / num_vertices
    return np.stack([np.cos(turn), np.sin(turn)], axis=1)


def _cross() -> np.ndarray:
    arm = 0.32
    quarter = np.array([[1, -arm], [1, arm], [arm, arm]]) / np.hypot(1, arm)
    turn = np.array([[0, 1], [-1, 0]])
    return np.concatenate([quarter @ np.linalg.matrix_power(turn, n) for n in range(4)])


def _fixed_point(outline: np.ndarray) -> np.ndarray:
    return np.round(outline * (1 << _SHIFT)).astype(np.int32)
