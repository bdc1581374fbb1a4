"""Stand-ins for vendors: loopback servers that speak a vendor's wire, with switches for what goes wrong."""
