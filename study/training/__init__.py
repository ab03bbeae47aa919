"""Training blocks of trials: names become rules, modules and classes, and a method trains them."""

import os

# Else MKL's last bits depend on where in memory a lane lies. It reads this at its first product.
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")
