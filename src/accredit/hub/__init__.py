"""The embedded hub: who a device is here, who is connected, what was sent. It knows nothing of enrollments or of wires."""
