"""The story of one registration, one step a file. It knows no protocol, no socket and no SQL."""
