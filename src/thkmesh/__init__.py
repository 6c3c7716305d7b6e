"""Rooms in which Python processes and browser pages talk directly to each other."""
