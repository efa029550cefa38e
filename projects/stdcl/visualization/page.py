"""HTML pages that need no other file and no network."""
import html
import json
from importlib.resources import files
from string import Template


def render_page(name: str, title: str, data: dict, **parts: str) -> str:
    """Fill a template of this package.

    ``NAME.html`` gets ``NAME.css`` and ``NAME.js`` inlined, so that the page
    is one file.

    Args:
        name (str): Name of the template.
        title (str): Title of the page.
        data (dict): What the script reads, as JSON.
        **parts (str): Further text, such as an attribute's value.

    Returns:
        str: HTML. Text is escaped.

    Raises:
        ValueError: ``data`` contains NaN or infinity, which JSON lacks.
    """
    folder = files(__package__)

    def read(kind: str) -> str:
        return (folder / f'{name}.{kind}').read_text(encoding='utf-8')

    text = json.dumps(data, separators=(',', ':'), allow_nan=False)
    return Template(read('html')).substitute(
        title=html.escape(title), style=read('css'), script=read('js'),
        # "<" in a string could end the script element
        data=text.replace('<', '\\u003c'),
        **{key: html.escape(part) for key, part in parts.items()})
