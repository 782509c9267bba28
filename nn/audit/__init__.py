"""Hardware in the loop: what the layers of a network compute, compared with the live RTL."""

from .entries import EntrySource, Simulators
from .result import AuditResult, DesignCoverage, LayerAudit, WrongProduct
from .run import AuditPlan, audit_model

__all__ = [
    "AuditPlan",
    "AuditResult",
    "DesignCoverage",
    "EntrySource",
    "LayerAudit",
    "Simulators",
    "WrongProduct",
    "audit_model",
]
