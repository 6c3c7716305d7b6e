"""Why do two peers not connect? What ``thkmesh doctor`` looks at, and what it concludes.

``examination`` asks the signaling server, the STUN and TURN servers that it offers
(``probes``), the router (``nat``), and calls itself by every kind of path (``calls``).
``verdict`` is the one place that concludes something, and it is pure.
"""
