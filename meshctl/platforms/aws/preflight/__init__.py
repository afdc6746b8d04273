"""What AWS is asked before anything is made: what a run would add, and whether there is room for it. PURE."""
