"""Decouplers: feature map to spatial and temporal vectors."""
from .attentive_decoupler import AttentiveDecoupler
from .decoupler import Decoupler
from .projection_decoupler import ProjectionDecoupler

__all__ = ['AttentiveDecoupler', 'Decoupler', 'ProjectionDecoupler']
