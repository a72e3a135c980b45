"""The device's end of one MQTT connection, for loads of many: the simulator's own."""

from accredit.simulation.mqtt_peer import Astray, Lost, MqttPeer, Service, Told, Unanswered

__all__ = ["Astray", "Lost", "MqttPeer", "Service", "Told", "Unanswered"]
