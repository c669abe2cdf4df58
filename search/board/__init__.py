"""What the dashboard is shown beside the studies themselves, and the gate in front of it."""
