"""Names for the types of arrays that every package uses."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
"""Numbers in double precision. Whoever uses it states shape, unit and frame."""

Image = NDArray[np.uint8]
"""Pixels of a camera or of a picture, RGB unless it says otherwise, shape (height, width, 3)."""
