"""Effects: what the rows of a table have more than a first one, the paper's beside ours.

Values of other data, another split or another protocol cannot be compared; what two rows differ by can.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

#: Measures in percent: of them the difference in points is taken.
_RATIOS = ("MOTA", "IDF1", "WA", "MA", "SA")
#: Counts, which depend on the amount of data: of them the change in percent is taken.
_COUNTS = ("IDS",)
#: The main measures of the paper, in their order.
MEASURES = ("MOTA", "IDF1", "IDS", "WA", "MA", "SA")


class Effects(NamedTuple):
    """Effects of the rows of a table.

    Attributes:
        frame: The keys, those that are not of groups in one column, then for each measure the paper's effect
            and ours; ``X std`` is the deviation of ours from one training to another. The rows that others
            are compared with are left out.
        against: The names of these rows.
    """

    frame: pd.DataFrame
    against: list[str]


def effects(table: pd.DataFrame, keys: Sequence[str], within: Sequence[str] = ()) -> Effects:
    """Compute what each row of a table by ``tables.beside`` has more than the first one.

    Args:
        table: The table; its columns ``X std``, if any, are deviations over seeds.
        keys: Columns that name a row.
        within: Those of the keys whose groups are compared apart, each with its own first row.

    Returns:
        Differences in points; of switches (``IDS %``) the change in percent.
    """
    table = table.reset_index(drop=True)
    names = table[list(keys)].fillna("").astype(str)
    group = names.groupby(list(within), sort=False).ngroup() if within else pd.Series(0, table.index)
    starts = group.drop_duplicates()
    first = group.map(pd.Series(starts.index, index=starts))
    rest = [key for key in keys if key not in within]
    found = {key: table[key] for key in within} | {" ".join(rest): names[rest].agg(" ".join, axis=1)}
    for measure in MEASURES:
        for name in (f"{measure} (paper)", f"{measure} (ours)"):
            if name not in table:
                continue
            values = table[name].astype(float)
            base = values.loc[first].set_axis(table.index)
            if measure in _RATIOS:
                found[name] = values - base
            else:
                found[name.replace(measure, f"{measure} %")] = 100 * (values - base) / base.where(base != 0)
        if measure in _RATIOS and f"{measure} std" in table:
            spread = table[f"{measure} std"].astype(float)
            both = pd.concat([spread, spread.loc[first].set_axis(table.index)], axis=1)
            deviation = both.pow(2).sum(axis=1, min_count=1) ** 0.5
            found[f"{measure} std"] = deviation.where(found[f"{measure} (ours)"].notna())
    is_first = table.index == first
    return Effects(
        pd.DataFrame(found)[~is_first].reset_index(drop=True),
        names[is_first].agg(" ".join, axis=1).tolist(),
    )
