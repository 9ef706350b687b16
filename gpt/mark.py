"""The mark near the beginning of each figure, page and JSON file that gpt writes, by which it knows
what it may replace."""

MARK = "written by gpt of tinygrad_lite"
EARLIER = "base-uri 'none'; form-action 'none'"  # in pages of versions that had no mark
