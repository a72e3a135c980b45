"""DigiCert: one file a dialect. `one.py` speaks DigiCert ONE's IoT Trust Manager, `documents.py` is its JSON."""
