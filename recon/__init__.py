"""recon: photos and video in, a measured 3D model out."""

__version__ = "0.1.0"
