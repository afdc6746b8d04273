"""Runs rows: one executor of create, read, update and delete for all resources that are rows, and lint for rows."""
