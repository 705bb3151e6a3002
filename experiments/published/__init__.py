"""Published results, one file each, reproduced by name."""
