"""What the author of a valid object is told all the same: deprecated, ignored and doubtful parts, in upstream's words.

A kind's `warnings(new, old)` yields them after validation; `old` is None on create. `where` is how a message names the
place of a part: "" or `spec.template.`, always with its dot.
"""
