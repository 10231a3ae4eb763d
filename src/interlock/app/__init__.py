"""What can every surface do, and which adapters is it done with? The only room that knows two sides."""
