"""How launchers of gangs are played: what is read of a gang, how its ranks meet, and who starts them. EDGE."""
