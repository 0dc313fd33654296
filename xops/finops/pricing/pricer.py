"""What prices the plans of Stream 1: the price book and the assumptions that come with xOps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Self

from xops.core.errors import PermanentError
from xops.core.money import Money
from xops.core.plan.cost import CostEffect
from xops.finops.prices.book import PriceBook
from xops.finops.pricing.assumptions import Assumptions
from xops.finops.pricing.plan_pricing import price_plan
from xops.finops.pricing.planned_state import PlannedState


@dataclass(frozen=True)
class TerraformPricer:
    """A `Pricer` of Terraform plans.

    Attributes:
        today: by which a price is old.
    """

    book: PriceBook
    assumptions: Assumptions
    today: date

    @classmethod
    def load(cls) -> Self:
        """Read the price book and the assumptions.

        Raises:
            InputError: everything that is wrong with them.
        """
        return cls(PriceBook.load(), Assumptions.load(), datetime.now(UTC).date())

    def price(
        self, document: Mapping[str, Any], *, region: str, budget: Money, is_emulated: bool
    ) -> CostEffect:
        """As `Pricer.price`.

        Raises:
            PermanentError: the document is none that can be priced.
        """
        try:
            state = PlannedState.of(document)
        except ValueError as error:
            remedy = "Use the version of Terraform that docs/reference/tested-on.md names."
            raise PermanentError("pricing the plan", f"it {error}", remedy) from None
        priced = price_plan(state, self.book, self.assumptions, region)
        effect = priced.effect(budget, self.today)
        return effect.model_copy(update={"is_emulated": is_emulated})
