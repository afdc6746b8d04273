"""IAM as the lab enforces it: keys, rights, guard rails, and simulations of them."""
