"""Graphs of networks, how they are fused and lowered under a policy, and what that costs."""
