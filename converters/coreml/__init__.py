"""Networks as Core ML programs, for apps without Python; such packages are read and interpreted without coremltools."""

import logging

# On other systems than macOS it warns of every part of itself that only a Mac has; whatever fails is raised.
logging.getLogger("coremltools").setLevel(logging.ERROR)
