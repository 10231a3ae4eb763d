"""What is written for agents: their guide, the skills it names, and the hook that keeps them to Interlock."""
