"""The engine of the CPU: programs run by the C library."""
