"""From an image file to the bytes that a network reads: decoded, grey or in colour, of 8 bits, and of one size."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mtl_cli.config.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image

EXTRA = "pip install 'mtl-cli[dicom]'"
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".pgm", ".ppm", ".dcm", ".dicom")
DICOM = (".dcm", ".dicom")
SAMPLE = 400
"""Images that are opened to find out what they are like, evenly among all."""
GREY = ("1", "L", "I", "F", "LA", "La", "I;16", "I;16B", "I;16L", "I;16N")
LARGEST = 300_000_000
"""Pixels of an image that is no longer taken for one."""
Fit = Literal["stretch", "crop", "pad"]


@dataclass(frozen=True)
class Layout:
    """How every image becomes bytes of shape (channels, height, width).

    Parameters
    ----------
    height, width : int
    channels : int
        1 is grey, 3 is red, green and blue.
    fit : {"stretch", "crop", "pad"}
        What is done where an image has other proportions.
    window : tuple of float, optional
        The values of images of more than 8 bits that become 0 and 255.
    """

    height: int
    width: int
    channels: int
    fit: Fit
    window: tuple[float, float] | None = None


@dataclass(frozen=True)
class Seen:
    """What an image file is like: its size, whether it is in colour, and the range of its values beyond 8 bits."""

    size: tuple[int, int]
    colour: bool
    window: tuple[float, float] | None


def opened(path: Path) -> Image | np.ndarray:
    """Return an image as it is stored, upright: in 8 bits, or an array of numbers. Raises UserError if it is none."""
    from PIL import Image, ImageOps

    if path.suffix.lower() in DICOM:
        return _dicom(path)
    Image.MAX_IMAGE_PIXELS = LARGEST
    try:
        with Image.open(path) as image:
            if image.mode.startswith("I") or image.mode == "F":
                return np.asarray(image, dtype="float32")
            upright = ImageOps.exif_transpose(image)
            upright.load()
            return upright
    except FileNotFoundError as error:
        raise UserError(str(path), "there is no such file") from error
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError, MemoryError) as error:
        reason = " ".join(str(error).replace(f"'{path}'", "").split())[:120]
        raise UserError(
            str(path), f"is not an image that can be decoded: {reason}", "leave it out, or fetch it again"
        ) from error


def _dicom(path: Path) -> np.ndarray:
    """Return the pixels of a DICOM file, rescaled as it says, bright where it shows light."""
    try:
        import pydicom
        from pydicom.pixels.processing import apply_rescale
    except ImportError as error:
        raise UserError(str(path), "DICOM files need a further package", EXTRA) from error
    try:
        held = pydicom.dcmread(path)
        pixels = np.asarray(apply_rescale(held.pixel_array, held), dtype="float32")
    except Exception as error:  # pydicom and its decoders raise anything of a damaged file
        reason = " ".join(str(error).split())[:120]
        raise UserError(str(path), f"is not a DICOM image that can be decoded: {reason}", "leave it out") from error
    if pixels.ndim != 2:
        raise UserError(str(path), f"holds {pixels.shape[0]} frames or colours, not one grey image", "export it as PNG")
    return pixels.max() - pixels if held.PhotometricInterpretation == "MONOCHROME1" else pixels


def see(path: Path) -> Seen:
    """Return what an image file is like."""
    image = opened(path)
    if isinstance(image, np.ndarray):
        low, high = (float(value) for value in np.quantile(image, [0.005, 0.995]))
        return Seen((image.shape[0], image.shape[1]), False, (low, high))
    return Seen((image.height, image.width), image.mode not in GREY, None)


def sample(paths: Sequence[Path], workers: int) -> list[Seen]:
    """Return what some of the files are like, evenly among all."""
    places = np.unique(np.linspace(0, len(paths) - 1, min(len(paths), SAMPLE)).astype(int))
    return list(_each(see, [paths[place] for place in places], workers))


def decode(path: Path, layout: Layout) -> np.ndarray:
    """Return an image file as bytes of shape (channels, height, width). Raises UserError if it is no image."""
    from PIL import Image

    image = opened(path)
    if isinstance(image, np.ndarray):
        low, high = layout.window or (float(image.min()), float(image.max()))
        scaled = (image - low) * (255 / max(high - low, 1e-12))
        image = Image.fromarray(np.round(scaled.clip(0, 255)).astype("uint8"))
    fitted = _fitted(_flat(image).convert("L" if layout.channels == 1 else "RGB"), layout)
    pixels = np.asarray(fitted, dtype="uint8")
    return pixels[None] if layout.channels == 1 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _flat(image: Image) -> Image:
    """Return an image without transparency: what is transparent is black."""
    from PIL import Image as images

    if "A" not in image.getbands() and "transparency" not in image.info:
        return image
    colours = image.convert("RGBA")
    return images.alpha_composite(images.new("RGBA", colours.size, (0, 0, 0, 255)), colours)


def _fitted(image: Image, layout: Layout) -> Image:
    """Return an image in the layout's size."""
    from PIL import Image as images
    from PIL import ImageOps

    size = (layout.width, layout.height)
    if image.size == size:
        return image
    if layout.fit == "crop":
        return ImageOps.fit(image, size, images.Resampling.BILINEAR)
    if layout.fit == "pad":
        return ImageOps.pad(image, size, images.Resampling.BILINEAR)
    return image.resize(size, images.Resampling.BILINEAR, reducing_gap=3.0)


def decode_all(paths: Sequence[Path], layout: Layout, workers: int) -> np.ndarray:
    """Return all images as bytes of shape (n, channels, height, width), several at a time.

    Raises
    ------
    UserError
        Naming the first file that is no image.
    """
    found = np.empty((len(paths), layout.channels, layout.height, layout.width), dtype="uint8")
    for place, image in enumerate(_each(lambda path: decode(path, layout), paths, workers)):
        found[place] = image
    return found


def _each(function: Any, paths: Sequence[Path], workers: int) -> Iterator[Any]:
    """Yield what a function makes of each path, in order: decoding leaves Python's lock to other threads."""
    if workers <= 1 or len(paths) < 2:
        yield from map(function, paths)
        return
    with ThreadPoolExecutor(workers) as pool:
        for start in range(0, len(paths), piece := 64 * workers):  # a fault is told before all others are decoded
            yield from pool.map(function, paths[start : start + piece])


def workers_of(asked: int | None) -> int:
    """Return how many images are decoded at once: as many as there are processors, where nothing is asked for."""
    return asked if asked is not None else min(16, os.cpu_count() or 1)
