"""The error tree.

    ReconError
    ├── InputError        the capture or an option is not usable; nothing was computed from it
    │   ├── NotFound          a path does not exist or can't be read
    │   ├── ConfigError       an unknown key, a value out of range
    │   ├── EmptyCapture      no usable image in it
    │   ├── HostileArchive    zip slip, zip bomb, nested archive
    │   └── TooLarge          an image or archive beyond the stated limits
    ├── ReconstructionError   the input is fine, the geometry is not there
    │   ├── NoOverlap         images do not share enough of the scene
    │   ├── NoParallax        the camera only turned
    │   ├── NoTexture         too few keypoints
    │   └── NoSurface         no depth, no points or no faces
    ├── ResourceError         the machine, not the capture
    │   ├── DiskFull
    │   ├── OutOfMemory
    │   └── MissingPart       a library, system package or file of weights that is not installed
    │       └── DamagedWeights    ... or that is there, but not what it must be
    ├── StageCrashed          third-party code ended the worker process
    ├── StageFailed           a fault in recon itself
    ├── Busy                  another run holds this output folder
    └── Cancelled             stopped on request; what was done is kept

Each carries a stable ``code`` (the class), the command line's ``exit_code``, a message with the number that matters
and, where there is one, a ``remedy``. All survive pickling, since shards run in other processes.
"""


class ReconError(Exception):
    """Base of all errors that recon raises on purpose."""

    code = "error"
    exit_code = 1

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message, remedy)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}. {self.remedy}" if self.remedy else self.message


class InputError(ReconError):
    code, exit_code = "input", 3


class NotFound(InputError):
    code = "not_found"


class ConfigError(InputError):
    code, exit_code = "config", 2


class EmptyCapture(InputError):
    code = "empty_capture"


class HostileArchive(InputError):
    code = "hostile_archive"


class TooLarge(InputError):
    code = "too_large"


class ReconstructionError(ReconError):
    code, exit_code = "reconstruction", 4


class NoOverlap(ReconstructionError):
    code = "no_overlap"


class NoParallax(ReconstructionError):
    code = "no_parallax"


class NoTexture(ReconstructionError):
    code = "no_texture"


class NoSurface(ReconstructionError):
    code = "no_surface"


class ResourceError(ReconError):
    code, exit_code = "resource", 5


class DiskFull(ResourceError):
    code = "disk_full"


class OutOfMemory(ResourceError):
    code = "out_of_memory"


class MissingPart(ResourceError):
    code = "missing_part"


class DamagedWeights(MissingPart):
    code = "damaged_weights"


class StageCrashed(ReconError):
    code, exit_code = "crashed", 6


class StageFailed(ReconError):
    code, exit_code = "failed", 1


class Busy(ReconError):
    code, exit_code = "busy", 7


class Cancelled(ReconError):
    code, exit_code = "cancelled", 130
