"""
Compare which SAE features a chat model uses differently from its base model.

>>> import featurediff
>>> source = featurediff.load("results/gemma_trainer131k-l0-114_layer20/personal_40")  # doctest: +SKIP
>>> source.table()  # doctest: +SKIP
>>> source.scatter("target_all_mean")  # doctest: +SKIP
"""

from featurediff.errors import DataError
from featurediff.loading import load
from featurediff.study import Study
from featurediff.version import package_version

__all__ = ["DataError", "Study", "load"]
__version__ = package_version()
