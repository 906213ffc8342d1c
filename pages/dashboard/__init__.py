"""The dashboard's panes, in the order in which a run passes them: reading, picking, choices, details, panes."""
