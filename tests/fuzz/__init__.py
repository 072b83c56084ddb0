"""Fuzzing of everything that reads files from outside: `python -m tests.fuzz NAME --runs N`.

A harness is one function that takes bytes. Whatever they are, it ends with success or one `SigeError`, within bounds of
time and memory. Inputs are the seeds and the corpus, changed by somebody who knows the format.
"""
