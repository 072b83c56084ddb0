"""The one exception family a user meets, and what others say."""


class SigeError(ValueError):
    """Bad input, said in one sentence: what is wrong, where, and what would be right.

    The command line prints the sentence and exits with status 1; it never prints a traceback for it.
    """


def first_line(raised: BaseException) -> str:
    """What an exception of another library says, in one line; its type where it says nothing."""
    return next(iter(str(raised).splitlines()), type(raised).__name__)
