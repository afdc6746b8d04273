"""Fields of live objects that other programs have set: found before an `up`, then taken over, left or refused."""
