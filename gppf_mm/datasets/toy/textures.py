"""Noise and patterns that fill the toy images."""

import cv2
import numpy as np

# What the segmentation task tells apart; index 0 is the plain background.
PATTERNS = ("plain", "checks", "dots", "speckle", "stripes")


def smooth_noise(
    rng: np.random.Generator, size: int, cells: int, channels: int
) -> np.ndarray:
    """Low-frequency noise of about unit variance.

    Args:
        rng (np.random.Generator): Source of the noise.
        size (int): Side of the square result, in pixels.
        cells (int): Independent values along a side; fewer are smoother.
        channels (int): Independent fields.

    Returns:
        np.ndarray: ``(size, size, channels)`` float32.
    """
    grid = rng.standard_normal((cells, cells, channels), np.float32)
    field = cv2.resize(grid, (size, size), interpolation=cv2.INTER_CUBIC)
    return field.reshape(size, size, channels)


def pattern(rng: np.random.Generator, name: str, size: int) -> np.ndarray:
    """A texture with random orientation, phase and period.

    Args:
        rng (np.random.Generator): Source of the random choices.
        name (str): One of :data:`PATTERNS`.
        size (int): Side of the square result, in pixels.

    Returns:
        np.ndarray: ``(size, size)`` float32 in [-1, 1].

    Raises:
        ValueError: If ``name`` is not in :data:`PATTERNS`.
    """
    if name == "plain":
        return np.zeros((size, size), np.float32)
    if name == "speckle":
        return np.where(rng.random((size, size)) < 0.25, 1.0, -0.4).astype(np.float32)
    u, v = _rotated_waves(rng, size)
    if name == "stripes":
        return np.sign(u)
    if name == "checks":
        return np.sign(u) * np.sign(v)
    if name == "dots":
        return np.where(u + v > 0.7, 1.0, -0.4).astype(np.float32)
    raise ValueError(
        f"Unknown pattern {name!r}: expected one of {', '.join(PATTERNS)}."
    )


def to_image(values: np.ndarray) -> np.ndarray:
    """Round and clip floating-point intensities to uint8."""
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _rotated_waves(
    rng: np.random.Generator, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Two sine waves at a right angle, ``(size, size)`` each, of one period."""
    angle, phase_u, phase_v = rng.uniform(0, 2 * np.pi, 3)
    frequency = 2 * np.pi / rng.uniform(7, 11)
    y, x = np.mgrid[:size, :size].astype(np.float32) * np.float32(frequency)
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    u = np.sin(cos * x + sin * y + np.float32(phase_u))
    v = np.sin(cos * y - sin * x + np.float32(phase_v))
    return u, v
