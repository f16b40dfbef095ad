"""What is left of an environment after a command is interrupted."""
