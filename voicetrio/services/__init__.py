"""The interfaces to speech services, and their implementations: one module a vendor or local model."""
