"""The runs that this process owns: written to Redis behind its memory."""
