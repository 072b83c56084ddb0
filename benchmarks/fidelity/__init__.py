"""The frontier of time against fidelity, on trained weights: what chooses the policies of edits."""
