"""The paper's tables of efficiency on this machine: models, sizes of edits and devices, beside the paper's figures."""
