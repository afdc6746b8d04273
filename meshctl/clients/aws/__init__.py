"""The APIs of AWS: sessions, their credentials and errors, and what is asked. EDGE."""
