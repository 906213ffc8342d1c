"""Two models' results → the feature table, its tests, its filters."""
