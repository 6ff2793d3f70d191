"""A realistic image workflow, with which the wire format is measured: tiles, several filters on each, merge."""

from typing import Any

import numpy as np

from faaslab.graph import Task, task

Tile = np.ndarray[Any, Any]


@task
def split_tiles(image: Tile, rows: int, columns: int, index: int, halo: int = 4) -> Tile:
    """Return one tile of an image with a border of ``halo`` pixels around it."""
    height, width = image.shape[0] // rows, image.shape[1] // columns
    row, column = divmod(index, columns)
    padded = np.pad(image, ((halo, halo), (halo, halo), (0, 0)), mode="reflect")
    top, left = row * height, column * width
    return padded[top : top + height + 2 * halo, left : left + width + 2 * halo].copy()


@task
def grayscale(tile: Tile) -> Tile:
    """Return the luminance of a tile (ITU-R BT.601)."""
    return (tile[..., :3] @ np.array([0.299, 0.587, 0.114])).astype(np.float32)


@task
def gaussian_blur(tile: Tile, sigma: float = 1.5) -> Tile:
    """Return a tile smoothed by a separable Gaussian kernel."""
    radius = int(3 * sigma)
    offsets = np.arange(-radius, radius + 1)
    kernel = np.exp(-(offsets**2) / (2 * sigma**2))
    kernel /= kernel.sum()
    rows = np.apply_along_axis(np.convolve, 0, tile, kernel, mode="same")
    return np.apply_along_axis(np.convolve, 1, rows, kernel, mode="same")


@task
def sharpen(tile: Tile, blurred: Tile, amount: float = 0.8) -> Tile:
    """Return a tile with its difference to the blurred one added (unsharp mask)."""
    return np.clip(tile + amount * (tile - blurred), 0, 255)


@task
def sobel_edges(tile: Tile) -> Tile:
    """Return the gradient magnitude of a tile."""
    across = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    gradient = [np.zeros_like(tile), np.zeros_like(tile)]
    for row in range(3):
        for column in range(3):
            shifted = np.roll(tile, (1 - row, 1 - column), axis=(0, 1))
            gradient[0] += across[row, column] * shifted
            gradient[1] += across.T[row, column] * shifted
    return np.hypot(gradient[0], gradient[1])


@task
def threshold(edges: Tile, quantile: float = 0.9) -> Tile:
    """Return where a tile's edges are stronger than a quantile of them."""
    return (edges > np.quantile(edges, quantile)).astype(np.uint8)


@task
def merge_tiles(tiles: list[tuple[Tile, Tile]], rows: int, columns: int, halo: int = 4) -> dict[str, Any]:
    """Return the image and the edge map made of all tiles, without their borders, and some statistics."""
    inner = slice(halo, -halo)
    image, edges = (
        np.vstack(
            [np.hstack([tiles[r * columns + c][part][inner, inner] for c in range(columns)]) for r in range(rows)]
        )
        for part in (0, 1)
    )
    return {"image": image, "edges": edges, "mean": float(image.mean()), "share": float(edges.mean())}


def picture(height: int = 256, width: int = 256) -> Tile:
    """Return a synthetic photograph."""
    y, x = np.mgrid[0:height, 0:width]
    channels = [128 + 100 * np.sin(x / 9 + c) * np.cos(y / (13 + c)) for c in range(3)]
    return np.stack(channels, axis=-1).astype(np.uint8)


def image_workflow(image: Tile, rows: int = 4, columns: int = 4) -> Task[dict[str, Any]]:
    """Return the workflow over ``rows * columns`` tiles."""
    done = []
    for index in range(rows * columns):
        gray = grayscale(split_tiles(image, rows, columns, index))
        blurred = gaussian_blur(gray, 1.5)
        done.append((sharpen(gray, blurred), threshold(sobel_edges(blurred))))
    return merge_tiles(done, rows, columns)
