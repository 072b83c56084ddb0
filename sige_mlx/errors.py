"""The one exception family a user meets."""


class SigeError(ValueError):
    """Bad input, said in one sentence: what is wrong, where, and what would be right.

    The command line prints the sentence and exits with status 1; it never prints a traceback for it.
    """
