"""State machines without I/O: events in, actions out.  Nothing here imports trio."""
