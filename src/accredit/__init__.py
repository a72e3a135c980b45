"""accredit: identity for every device."""

__version__ = "0.1.0"
