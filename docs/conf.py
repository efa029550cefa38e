"""Sphinx configuration. ``make docs`` builds the site, warnings as errors."""
project = 'STD-CL'
author = 'The contributors of STD-CL for MMAction2'
copyright = author

extensions = ['myst_parser', 'sphinx.ext.autodoc', 'sphinx.ext.napoleon']
exclude_patterns = ['_build']
html_theme = 'furo'
html_title = 'STD-CL for MMAction2'

myst_heading_anchors = 3
# Files of the repository that a page links to become downloads. Folders have
# no page, so links to them become plain text.
nitpick_ignore_regex = [('myst', r'(\.\./)+[^.]*')]

autodoc_default_options = {'members': True, 'member-order': 'bysource'}
autodoc_typehints = 'none'  # docstrings give types and shapes
autodoc_inherit_docstrings = False
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
