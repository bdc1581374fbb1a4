"""A call that a command held: what both ends recorded, what was measured of it, and how it is shown."""
