"""Accepting peers, and giving each one a session."""
