"""What the server says of leaderboards."""

from typing import Any

from pydantic import BaseModel

from app.schemas import Excess, Rate


class PublishedRate(BaseModel):
    """What the benchmark's own table says where its protocol is the same."""

    percent: float
    n: int | None  # trials
    label: str  # "published", "quoted", "as reported, unverified"
    source: str


class LeaderboardCell(BaseModel):
    """One attack against one column (a victim of a protocol)."""

    success: Rate
    twin: Rate
    excess: Excess
    clean_accuracy: float
    twin_clean_accuracy: float
    experiment_ids: list[int]
    # among the attacks of its budget; shared by those that cannot be told apart. None where it is
    # not ranked or has nobody beside it, and in a list of boards
    rank: int | None = None
    published: PublishedRate | None = None


class LeaderboardRow(BaseModel):
    key: str  # of the attack with its knobs and its surrogates
    attack: str
    title: str
    short: str
    color: str
    marker: str
    budget: str  # "eps 8/255", "unbounded", "none"
    is_ranked: bool  # bounded and an attack of its own: no control, no reference
    knobs: dict[str, Any]
    linf_255: int | None
    cells: list[LeaderboardCell | None]  # in the order of the board's columns
    craft_seconds: float | None  # mean per trial, as the two below
    mean_l2: float | None
    ssim: float | None


class LeaderboardColumn(BaseModel):
    key: str
    title: str  # "White box"
    subtitle: str  # "SmallNet, frozen"
    access: str
    regime: str


class LeaderboardTitle(BaseModel):
    """What a board compares, without what is on it."""

    key: str
    dataset: str
    dataset_title: str
    regime: str
    profile: str
    precision: str
    protocol: str
    setups: str  # drawn, or the name of a benchmark's list
    counts: str  # poisons / training images
    accesses: list[str]  # those that an attack had
    outcomes: int  # how many it counts


class RankPair(BaseModel):
    """Two attacks of one budget on the setups that both were tried on: McNemar's exact test, or
    where the n of either was not fixed before anybody looked, the sequential one.

    All pairs of a column's budget are tested together (Holm); who is better ranks higher.
    """

    column: str  # keys, as those of the rows
    first: str
    second: str
    shared: int  # setups
    only_first: int  # that fell to the first alone
    only_second: int
    p: float
    adjusted: float
    is_sequential: bool = False
    better: str | None  # None: they cannot be told apart


class Leaderboard(BaseModel):
    """Everything measured under one protocol: data, counts, profile and precision equal."""

    key: str
    title: str
    dataset: str
    profile: str
    precision: str
    protocol: str  # in words: poisons, training images, setups, normalisation
    answer: str
    columns: list[LeaderboardColumn]
    rows: list[LeaderboardRow]
    # what the ranks rest on; None in a list of boards, where nothing is ranked
    pairs: list[RankPair] | None = None
