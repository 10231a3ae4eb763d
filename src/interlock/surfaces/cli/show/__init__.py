"""How do runs and plans look? Values in, pictures and lines out: nothing here asks, waits or writes."""
