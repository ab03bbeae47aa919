"""How a block of trials is trained."""

import os

# MKL's products else take other bits at other places in memory, so at other places in a block; read at the first one
os.environ.setdefault("MKL_CBWR", "AUTO")
