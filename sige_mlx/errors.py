"""The one exception family a user meets, and what others say."""

MAX_MESSAGE = 2000  # characters


class SigeError(ValueError):
    """Bad input, said in one sentence: what is wrong, where, and what would be right.

    The command line prints the sentence and exits with status 1; it never prints a traceback for it. Sentences quote
    what files hold, so each is made `printable`.
    """

    def __init__(self, sentence: object = ""):
        super().__init__(printable(str(sentence), MAX_MESSAGE))


def printable(text: str, limit: int = 120) -> str:
    """`text` as one line of at most about `limit` characters that a terminal shows and does not obey: what is not
    printable is escaped, and the middle of a long one left out."""
    if len(text) > limit:
        text = f"{text[: limit * 2 // 3]} … {text[-limit // 4 :]}"
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def first_line(raised: BaseException) -> str:
    """What an exception of another library says, in one line; its type where it says nothing."""
    said = next((line for line in str(raised).splitlines() if line.strip()), type(raised).__name__)
    return printable(said, 400)
