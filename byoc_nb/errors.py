"""The errors that users of byoc_nb meet.

Every one derives from `ByocError` and from the builtin that fits, says in one line what is wrong, and carries in
`.hint` the next thing to type or to do.
"""

from __future__ import annotations


class ByocError(Exception):
    """Base of every error that this package raises on purpose.

    `hint` is the next step for the reader, an empty string where there is none.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    def one_line(self) -> str:
        """The message and the hint, as the magics and the command line print them."""
        message = " ".join(str(self).split())
        return f"{message}: {self.hint}" if self.hint else message
