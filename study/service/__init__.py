"""The service: studies launched, watched, queried and plotted over HTTP."""
