"""How pages look: templates, styles, scripts."""
