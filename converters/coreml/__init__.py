"""Networks as Core ML programs, for apps without Python. Nothing else imports coremltools, the extra `coreml`."""

import logging

# On other systems than macOS it warns of every part of itself that only a Mac has; whatever fails is raised.
logging.getLogger("coremltools").setLevel(logging.ERROR)
