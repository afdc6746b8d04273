"""What pools lend: who borrows from whom, who counts it, and what is in the way. PURE."""
