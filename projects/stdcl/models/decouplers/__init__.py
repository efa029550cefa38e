"""Decouplers: from a feature map to a spatial and a temporal vector."""
from .attentive_decoupler import AttentiveDecoupler
from .decoupler import Decoupler
from .projection_decoupler import ProjectionDecoupler

__all__ = ['AttentiveDecoupler', 'Decoupler', 'ProjectionDecoupler']
