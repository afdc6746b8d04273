"""What must hold of an environment before it is changed, and what a change must not lose or break."""
