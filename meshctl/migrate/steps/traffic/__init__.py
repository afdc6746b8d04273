"""Steps that decide who gets the requests: names, shares, and looks at endpoints before and after. EDGE."""
