"""What the rule bot tells when it is asked for a story: original texts of half a minute of speech."""

from __future__ import annotations

__all__ = ["STORIES"]

STORIES = (
    "Once upon a time, a lighthouse stood on a rock at the end of the world. "
    "Its keeper was an old woman named Marta, who had never missed a single night. "
    "One winter evening, the great lamp would not light. "
    "The wind was rising, and far out on the water she could see a small red sail. "
    "So Marta carried every lantern in the house up the winding stairs. "
    "She hung them in the windows, one above the other, until the tower glowed like a tree full of stars. "
    "The little boat turned, found the channel, and came safely into the bay. "
    "In the morning, the sailors brought her a new lamp. "
    "But every winter since then, on the longest night, she hangs the lanterns in the windows again.",
    "There was once a clock in a village square that ran five minutes slow. "
    "Nobody minded, because everybody in the village was five minutes late as well. "
    "One summer, a proud young clockmaker came and set it right. "
    "At once, the bread was burned, the school bell rang in an empty yard, "
    "and the train left without its driver. "
    "The people walked about and did not know what to do. "
    "That night, the clockmaker climbed the tower, and he turned the hands back by five minutes. "
    "In the morning, the bread was golden, the children laughed in the yard, and the train was full. "
    "The clockmaker stayed in the village for the rest of his life, and he was never early again.",
)
"""The texts, told in turn."""
