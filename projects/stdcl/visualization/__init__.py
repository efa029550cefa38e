"""Skeletons and features made visible: player, GIFs, browser, report."""
