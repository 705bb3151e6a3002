"""Margin rules: the brackets that orders and positions of one venue are held to, as they move.

Brackets come from the parameters and stand still, unless the initial rate follows the open interest
or both rates follow the size of positions in coins: then they are set anew with each mark. The open
interest is the sum of the long positions, in quote units at the mark. Maintenance does not follow
it. Laws: `margin_scaling`; rounding: `brackets`.
"""

import numpy as np

from markets.derivatives.brackets import Brackets, whole_brackets
from markets.derivatives.contract_form import ContractForm
from markets.derivatives.margin_scaling import open_interest_brackets, rooted
from markets.derivatives.perpetual_params import PerpetualParams
from markets.derivatives.positions import Positions, Terms


class MarginRules:
    """Initial and maintenance brackets of one venue, in atoms of its settlement asset."""

    def __init__(self, params: PerpetualParams, form: ContractForm) -> None:
        self._params, self._form = params, form
        maintenance, self._initial_tiers = params.tiers
        self.initial: Brackets = whole_brackets(self._initial_tiers, form.settlement.scale)
        self.maintenance: Brackets = whole_brackets(maintenance, form.settlement.scale)

    def follow(self, positions: Positions, terms: Terms, mark: float) -> None:
        """Let the rates follow open interest and size at the mark, in quote per base."""
        params, form, caps = self._params, self._form, self._params.open_interest_caps_quote
        if caps[1] > 0:
            longs = int(np.maximum(positions.balances[:, terms.contract], 0).sum())
            notional = form.to_base(longs, form.instrument.to_price(terms.mark_ticks)) * mark
            scale = form.settlement.scale
            self.initial = open_interest_brackets(self._initial_tiers, scale, notional, caps)
        if params.size_factor > 0:
            coin_atoms = form.coin_atoms(form.instrument.to_price(terms.mark_ticks))
            both = (self.initial, self.maintenance)
            self.initial, self.maintenance = rooted(*both, params.size_factor, coin_atoms)
