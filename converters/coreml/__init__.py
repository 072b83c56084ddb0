"""Networks as Core ML programs, for apps without Python. Nothing else imports coremltools, the extra `coreml`."""
