"""What the command line prints. Heavy imports happen inside the functions that need them."""
