"""What an operator reads and changes: enrollments, authorities, registrations, certificates, and who may.

Each verb checks first and then commits one unit of work; when that was stale, it reads and checks again. Nothing here
knows HTTP, and nothing here calls a certificate authority or a hub: what a change means for devices is seen when they
come back.
"""
