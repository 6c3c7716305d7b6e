"""The signaling server: rooms, presence, and signals passed on, never looked into."""

from thkmesh.core.grants import Permit
from thkmesh.server.app import create_app
from thkmesh.server.gate import AccessSettings, Asked
from thkmesh.server.keyring import Key, key_of
from thkmesh.server.password import Password
from thkmesh.server.service import RoomService, ServerSettings
from thkmesh.server.tickets import UsedTickets
from thkmesh.server.turn import Turn

__all__ = [
    "AccessSettings",
    "Asked",
    "Key",
    "Password",
    "Permit",
    "RoomService",
    "ServerSettings",
    "Turn",
    "UsedTickets",
    "create_app",
    "key_of",
]
