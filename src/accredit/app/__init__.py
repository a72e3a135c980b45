"""The composition root: a Config becomes a running service here, and nowhere else. Everything below knows only Protocols."""
