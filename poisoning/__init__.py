"""Dosimeter's science: poisoning attacks, victims and the protocol that judges them.

Works alone: knows nothing of the server, the database or the queue.
"""

__version__ = "0.1.0"
