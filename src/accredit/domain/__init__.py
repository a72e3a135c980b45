"""The nouns of the story: frozen values, no I/O, no clock, nothing of any protocol."""
