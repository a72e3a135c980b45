"""DigiCert: one file a dialect, by a record's `flavour`.

`one.py` speaks IoT Trust Manager, `mpki.py` Trust Lifecycle Manager, `certcentral.py` CertCentral; `documents.py` is JSON.
"""
