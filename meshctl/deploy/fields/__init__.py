"""Fields of live objects that other programs have set: seen before an `up`, and taken over, left or refused."""
