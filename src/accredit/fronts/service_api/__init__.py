"""The service API over HTTPS: a thin skin that reads a request, asks `administration`, and renders what it says.

It decides nothing: rights are `policy/access.py`, documents `wire/service_api`, statuses `wire/refusals.py`. Addresses
are written in Azure's case; the listener makes them match in any.
"""

from accredit.fronts.service_api.routes import endpoints, routes

__all__ = ["endpoints", "routes"]
