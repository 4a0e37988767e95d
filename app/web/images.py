"""Pictures of poison sets, as PNG of the stored pixels: nothing is scaled, tinted or smoothed."""
