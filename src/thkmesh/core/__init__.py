"""The pure core: machines without loop, socket, clock, dice or log."""
