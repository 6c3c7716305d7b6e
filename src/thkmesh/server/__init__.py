"""The signaling server: rooms, presence, and signals passed on, never looked into."""

from thkmesh.server.app import create_app
from thkmesh.server.service import RoomService, ServerSettings

__all__ = ["RoomService", "ServerSettings", "create_app"]
