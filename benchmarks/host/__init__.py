"""What an edit costs the host: the time that Python and MLX take before a device has its work, and what is launched."""
