"""How long networks take: measured on the device, or from a table of the works of a space."""
