"""The tables of Li et al. 2022, as a person with the published weights and data reproduces them (see README.md)."""
