"""The public test kit: services that follow a script, simulated peers, leak checks."""
