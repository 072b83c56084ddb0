"""Measurements that need a process of their own; each module is one, and prints a number or two."""
