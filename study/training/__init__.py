"""How a block of trials is trained."""
