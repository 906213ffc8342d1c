"""Feature table → scatter, volcano, ranking."""
