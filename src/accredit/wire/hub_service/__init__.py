"""Documents of the hub's service API: identities, twins, and errors in IoT Hub's words.

It knows what Azure's service SDKs send and read (azure-iothub for Node, azure-iot-hub for Python), in both roles; not
what an identity or a twin is good for.
"""
