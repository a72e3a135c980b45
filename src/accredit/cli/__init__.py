"""The command line. It has no private door: what it does, it does through the service API (exceptions: `local.py`)."""
