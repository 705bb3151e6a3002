"""Intents of lending: loans, liquidations, bids for the collateral of vaults.

Rows like those of `markets.intents`, which says what they are.
"""

from markets.intents import BID, BORROW, LIQUIDATE, REPAY, Column, Intent, altered, intent_of


def borrow(venue: int, account: Column, coin: Column, atoms: Column) -> Intent:
    """Take exactly so many atoms of a lending pool's coin against what the account has supplied."""
    return intent_of(BORROW, venue, account, 0, atoms, 0, 0, 0, 0, 0, coin)


def repay(venue: int, account: Column, coin: Column, maximum_atoms: Column) -> Intent:
    """Pay back the account's debt in a coin of a lending pool, up to so many atoms."""
    return intent_of(REPAY, venue, account, 0, maximum_atoms, 0, 0, 0, 0, 0, coin)


def liquidate(
    venue: int,
    account: Column,
    borrower: Column,
    coins: tuple[Column, Column],
    maximum_paid_atoms: Column,
    minimum_received_atoms: Column = 0,
) -> Intent:
    """Repay an unsafe borrower's debt for his collateral; `coins` are that of the debt and it.

    Side 1, as set by `in_shares`, asks for the collateral as shares of the lending pool.
    """
    amounts = (maximum_paid_atoms, minimum_received_atoms)
    return intent_of(LIQUIDATE, venue, account, 0, *amounts, borrower, 0, 0, 0, *coins)


def in_shares(liquidation: Intent) -> Intent:
    """The same liquidation, paid in shares of the pool, for which it needs no cash."""
    return altered(liquidation, "side", 1)


def bid_collateral(
    venue: int, account: Column, auction: Column, bid_atoms: Column, lot_atoms: Column
) -> Intent:
    """Bid in a collateral auction, by its number: so much stablecoin for so much collateral."""
    return intent_of(BID, venue, account, 0, bid_atoms, lot_atoms, auction)
