"""What the networks see: spectra of 3 522 pixels and images in five bands (Wei et al. 2023, section 5)."""

from starsift.spectra.resample import LogGrid

CLASSES = ("not BHB", "BHB")  # class numbers 0 and 1
BANDS = "ugriz"
GRID = LogGrid(3.6021, 1e-4, 3522)  # 4000-9000 Angstrom, vacuum
PIXELS = GRID.pixels
SEGMENTS, SEGMENT = 7, 503  # the last pixel is dropped
SPLITS = ("train", "validation", "test")
