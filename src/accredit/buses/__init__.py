"""How the processes of one service hear of each other: within one process, or by NATS. They carry words, and know none."""
