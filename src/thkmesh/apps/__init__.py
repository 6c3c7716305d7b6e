"""Applications built on nothing but the public API: to use, and to learn from."""
