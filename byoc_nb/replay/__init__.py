"""The same clip through a processor again: takes of a stream, their replay, and the comparison of two processors."""
