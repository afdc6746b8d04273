"""What all pods of a mesh have in common: names, images, variables, files, users, networks. PURE."""
