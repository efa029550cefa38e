"""Decouplers, which turn a feature map into two feature vectors."""
from .attentive_decoupler import AttentiveDecoupler
from .decoupler import Decoupler
from .projection_decoupler import ProjectionDecoupler

__all__ = ['AttentiveDecoupler', 'Decoupler', 'ProjectionDecoupler']
