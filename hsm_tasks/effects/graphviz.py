"""The layout engine: graphviz, inside of the wheels of pygraphviz. Without it hsm does all but pictures."""

from __future__ import annotations

from hsm_tasks.core.errors import HsmError


def layout(text: str) -> str:
    """A graph in dot → its nodes, edges and clusters with their places, in graphviz's json0. Always the same."""
    try:
        from pygraphviz import AGraph
    except ImportError as error:
        hint = "pip install 'hsm[graph]', or take --format mermaid or dot, which need no more than hsm"
        raise HsmError(f"the layout engine of pictures, pygraphviz, is not installed: {error}", hint) from error
    with AGraph(string=text) as graph:
        drawn: bytes = graph.draw(format="json0", prog="dot")
    return drawn.decode()
