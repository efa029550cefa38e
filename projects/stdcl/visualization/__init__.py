"""Visualization of skeletons and features: player, GIFs and reports."""
