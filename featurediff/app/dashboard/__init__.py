"""The dashboard, in the order in which a run passes it: reading, picking, choices, details, panes, following."""
