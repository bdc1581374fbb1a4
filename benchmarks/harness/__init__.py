"""The harness: asks the questions beside this folder, one after the other, and judges the answers.

``question`` says what a question is, ``asking`` measures one, ``verdicts`` judges it, ``report`` writes
it down.  A measured side is a function in a file that runs in a process of its own (``worker``), also in the
environment of a peer (``peers``).
"""
