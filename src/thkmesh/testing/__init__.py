"""A simulated world to test applications in: many peers, one seed, no waiting."""
