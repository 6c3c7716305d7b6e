"""What we use of redis-py, whose own types are not complete."""

from redis import asyncio as asyncio
from redis import exceptions as exceptions
