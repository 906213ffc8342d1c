"""What a run starts before it is needed, so that nobody waits for it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from featurediff.collect.templates import TemplateProcess

if TYPE_CHECKING:
    from concurrent.futures import Future

    from featurediff.collect.encoder import Encoder
    from featurediff.collect.recipe import Recipe
    from featurediff.collect.responses import Writer
    from featurediff.collect.saes import Sae


class Early:
    """
    The process that fills in chat templates, at once; and the first model, while prompts are still read.

    It is made before torch and transformers are imported, which takes as long as the process takes to come up. It ends
    with the `with` that it is used in.
    """

    def __init__(self) -> None:
        self.process = TemplateProcess()
        self._thread = ThreadPoolExecutor(1)
        self._first: tuple[Recipe, Future[Encoder | Writer]] | None = None

    def __enter__(self) -> Early:
        """Return it."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the process, and wait for a model that is still being loaded."""
        self.process.close()
        self._thread.shutdown()

    def load(self, recipe: Recipe, sae: Sae) -> None:
        """Begin to load a model."""
        from featurediff.collect.loading import load

        self._first = recipe, self._thread.submit(load, recipe, sae)

    def take(self, recipe: Recipe) -> Encoder | Writer | None:
        """
        Return the model that was loaded, if it is the one of a recipe; it is given once, and another is dropped.

        Raises
        ------
        DataError
            If it cannot be loaded.
        """
        first, self._first = self._first, None
        if first is None:
            return None
        known, loaded = first
        return loaded.result() if known == recipe else None
