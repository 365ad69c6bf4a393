"""recon: photos and video in, a measured 3D model out."""

import zlib  # noqa: F401  (before pycolmap: loaded after it, writing a PNG with OpenCV corrupts the heap)

__version__ = "0.1.0"
