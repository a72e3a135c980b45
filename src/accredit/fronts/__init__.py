"""Sockets: when bytes move, and to whom. Decides nothing about trust, and knows no storage."""
