"""The report as a page: what it says of small tables by hand, and that the whole holds the CSVs' numbers."""

import base64
import re
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup, Tag
from PIL import Image

from deepmot_lib.experiments import tables
from deepmot_lib.report import contents as report
from deepmot_lib.report import document, markdown_page, page, views
from deepmot_lib.report.tables import beside

pytestmark = pytest.mark.slow

MADE_FROM = tables.provenance(profile="smoke", data="rendered", seeds=[0, 1])

# --- reading a page -----------------------------------------------------------------------------------------


def parse(text: str) -> BeautifulSoup:
    return BeautifulSoup(text, "html.parser")


def rendered(frame: pd.DataFrame, like_with_like: bool = True, **parts) -> Tag:
    """The whole table of a page: what is seen at once, or else what is folded below."""
    found = page_of(frame, like_with_like=like_with_like, **parts)
    return (found.find("details", class_="whole") or found).find("table")


def page_of(frame: pd.DataFrame, **parts) -> BeautifulSoup:
    section = document.Section("Table 1", tables=(document.Table(frame, **parts),))
    return parse(page.render(document.Document("A title", "A text", "", (section,))))


def header(table: Tag) -> list[str]:
    """The columns' names as a frame has them, arrows left out."""
    first, *second = table.thead.find_all("tr")
    sides = iter(second[0].find_all("th") if second else [])
    names = []
    for cell in first.find_all("th"):
        name = cell.text.rstrip(" ↑↓")
        names += [f"{name} ({next(sides).text})" for _ in range(2)] if cell.get("colspan") else [name]
    return names


def seen(found: BeautifulSoup | Tag) -> list[Tag]:
    """The tables that are not folded."""
    return [table for table in found.find_all("table") if not table.find_parent("details")]


def rows(table: Tag) -> list[tuple[str, dict[str, Tag]]]:
    """Each row's label of its block, and its cells by the columns' names."""
    found = []
    for body in table.find_all("tbody"):
        label = body.find("th", scope="rowgroup")
        for row in body.find_all("tr"):
            if cells := row.find_all(["td", "th"], scope=lambda scope: scope != "rowgroup"):
                pairs = zip(header(table), cells, strict=True)
                found.append((label.text if label else "", dict(pairs)))
    return found


def number(cell: Tag) -> str:
    """A cell's own text, without spread and difference."""
    own = (part for part in cell.find_all(string=True) if part.parent.name in ("td", "th", "b"))
    return "".join(own).strip()


def bold(table: Tag, column: str) -> list[str]:
    return [number(cells[column]) for _, cells in rows(table) if cells[column].b]


# --- small tables, by hand ----------------------------------------------------------------------------------


def ablation() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "tracker": ["A", "A", "A", "B", "B", "A"],
            "loss": ["none", "L1", "ours", "none", "L1", "new"],
            "MOTA (paper)": [50.0, 51.0, 52.5, 60.0, 61.0, np.nan],
            "MOTA (ours)": [49.0, 53.0, 52.999, np.nan, 61.0, 70.0],
            "IDS (paper)": [30, 20, 20, 9, 8, np.nan],
            "IDS (ours)": [31, 15, 20, np.nan, 8, 1],
            "seeds": [2, 2, 1, np.nan, 2, 2],
            "MOTA std": [0.25, 1.5, np.nan, np.nan, 0.0, 0.5],
        }
    )


def test_the_best_of_each_block_is_bold():
    table = rendered(ablation())
    assert bold(table, "MOTA (paper)") == ["52.50", "61.00"], "more is better, within a tracker"
    assert bold(table, "MOTA (ours)") == ["53.00", "53.00"], "both that print alike; a lone number beats none"
    assert bold(table, "IDS (paper)") == ["20", "20", "8"], "fewer is better, a tie is shared"
    assert bold(table, "IDS (ours)") == ["15"]
    assert bold(table, "seeds") == [], "no number of seeds is better than another"


def test_where_all_are_alike_none_is_the_best():
    assert bold(rendered(pd.DataFrame({"loss": ["a", "b"], "MOTA": [50.001, 50.002]})), "MOTA") == []
    assert bold(rendered(pd.DataFrame({"loss": ["a", "b"], "MOTA": [50.0, np.nan]})), "MOTA") == []


def test_differences_are_colored_by_what_they_mean():
    cells = [cells for _, cells in rows(rendered(ablation()))]

    def differences(column: str) -> list[tuple[str, str] | None]:
        found = [cell[column].small for cell in cells]
        return [small and (small.text, " ".join(small["class"])) for small in found]

    better, worse = "better", "worse"
    assert differences("MOTA (ours)") == [
        *[("−1.00", worse), ("+2.00", better), ("+0.50", better)],
        *[None, ("=", ""), None],
    ]
    assert differences("IDS (ours)") == [("+1", worse), ("−5", better), ("=", ""), None, ("=", ""), None]
    assert differences("MOTA (paper)") == [None] * 6


@pytest.mark.parametrize(
    ("measure", "way"),
    [
        *[(name, 1) for name in ("MOTA", "MOTP", "IDF1", "MT", "HOTA", "WA", "WA unseen")],
        *[(name, -1) for name in ("FP", "FN", "IDS", "ML", "MA", "SA", "SA unseen")],
        *[(name, 0) for name in ("seeds", "size", "WAX", "a MOTA")],
    ],
)
def test_which_way_a_measure_points(measure, way):
    assert page.direction(measure) == way
    arrow = rendered(pd.DataFrame({"loss": ["a"], measure: [1.5]})).thead.find_all("th")[1].text
    assert arrow == measure + {1: " ↑", -1: " ↓", 0: ""}[way]


def test_a_deviation_stands_beside_its_mean():
    table = rendered(ablation())
    assert "MOTA std" not in header(table)
    spreads = [cells["MOTA (ours)"].find(class_="spread") for _, cells in rows(table)]
    assert [spread and spread.text for spread in spreads] == [
        "± 0.25",
        "± 1.50",
        None,
        None,
        "± 0.00",
        "± 0.50",
    ]
    assert not any(cells["MOTA (paper)"].find(class_="spread") for _, cells in rows(table))
    alone = rendered(pd.DataFrame({"loss": ["a"], "WA": [1.5], "WA std": [0.5], "std": [7.5]}))
    assert header(alone) == ["loss", "WA", "std"], "a deviation of nothing is a column"


def test_rows_that_the_paper_does_not_have_come_last_and_apart():
    shuffled = ablation().iloc[[5, 0, 1, 2, 3, 4]]
    labels = [(label, number(cells["loss"])) for label, cells in rows(rendered(shuffled))]
    assert labels[:5] == [("A", "none"), ("A", "L1"), ("A", "ours"), ("B", "none"), ("B", "L1")]
    assert labels[5:] == [("A, beyond the paper", "new")]


def test_a_wide_table_is_folded_in_parts_that_fit_across_a_page():
    names = [f"m{number}" for number in range(19)]
    frame = pd.DataFrame([["A", *range(19)], ["B", *range(19)]], columns=["method", *names])
    frame = frame.rename(columns={"m0": "MOTA"})
    folded = views.views(document.Table(frame)).folded
    assert [list(view.frame) for view in folded] == [
        ["method", "MOTA", *names[1:10]],
        ["method", *names[10:]],
    ]
    (whole,) = views.views(document.Table(frame.iloc[:, :16])).folded
    pd.testing.assert_frame_equal(whole.frame, frame.iloc[:, :16])


def test_rows_of_one_each_are_not_torn_apart():
    frame = pd.DataFrame({"detector": ["a", "b"], "tracker": ["x", "y"], "MOTA": [1.5, 2.5]})
    table = rendered(frame)
    assert header(table) == ["detector", "tracker", "MOTA"]
    assert [label for label, _ in rows(table)] == ["", ""]
    assert bold(table, "MOTA") == ["2.50"]


def test_where_the_data_differ_effects_stand_side_by_side_and_values_do_not():
    found = page_of(ablation(), like_with_like=False, within=("tracker",))
    effects, ours = seen(found)
    assert header(effects) == [
        *("tracker", "loss"),
        *(f"{name} ({side})" for name in ("MOTA", "IDS %") for side in ("paper", "ours")),
    ]
    by_row = {(number(row["tracker"]), number(row["loss"])): row for _, row in rows(effects)}
    assert list(by_row) == [("A", "L1"), ("A", "ours"), ("B", "L1"), ("A", "new")]
    first = {name: number(cell) for name, cell in by_row["A", "L1"].items()}
    assert first["MOTA (paper)"] == "+1.00" and first["MOTA (ours)"] == "+4.00"
    assert first["IDS % (paper)"] == "−33" and first["IDS % (ours)"] == "−52"
    assert by_row["A", "L1"]["MOTA (ours)"].find(class_="spread").text == "± 1.52", "of the difference"
    assert number(by_row["B", "L1"]["MOTA (paper)"]) == "+1.00"
    assert number(by_row["B", "L1"]["MOTA (ours)"]) == "", "its first row was not run"
    assert not by_row["B", "L1"]["MOTA (ours)"].find(class_="spread")
    assert header(ours) == ["loss", "MOTA", "IDS", "seeds"]
    assert not found.find_all("small"), "neither better nor worse"
    assert not any(side in name for name in header(ours) for side in ("(paper)", "(ours)"))
    theirs, mine = found.find("details", class_="whole").find_all("table")
    assert [number(row["MOTA"]) for _, row in rows(theirs)] == ["50.00", "51.00", "52.50", "60.00", "61.00"]
    assert [number(row["IDS"]) for _, row in rows(mine)] == ["31", "15", "20", "1", "8"]


def test_effects_are_told_alike_in_markdown():
    table = document.Table(ablation(), within=("tracker",))
    section = document.Section("Table 1", tables=(table,))
    text = markdown_page.render(document.Document("A title", "A text", "", (section,)))
    assert "| A | L1 | +1.00 | +4.00 | 1.52 | −33 | −52 |" in text
    assert "| A | L1 | 53.00 | 15 | 2 | 1.50 |" in text


def test_a_wide_table_shows_its_main_measures_and_folds_the_rest():
    wide = pd.DataFrame(
        {"loss": ["a", "b"]}
        | {name: [1.5, 2.5] for name in ("MOTP", "FP", "HOTA", "FN", "MOTA", "IDF1", "x", "y")}
    )
    (first,) = seen(found := page_of(wide))
    assert header(first) == ["loss", "MOTA", "IDF1", "HOTA"]
    assert header(found.find("details", class_="whole").table) == list(wide)
    narrow = page_of(wide[["loss", "FP", "MOTA"]])
    assert header(*seen(narrow)) == ["loss", "FP", "MOTA"] and not narrow.find("details", class_="whole")


def test_a_long_table_is_folded_and_sequences_are_pooled_first():
    long = pd.DataFrame({"loss": [str(n) for n in range(40)], "MOTA": np.arange(40) + 0.5})
    assert not seen(page_of(long)) and page_of(long).find("details", class_="whole").summary.text == "40 rows"
    rows_ = pd.DataFrame({"sequence": ["a", "OVERALL"], "MOTA": [1.5, 2.5]})
    (first,) = seen(found := page_of(rows_))
    assert [number(row["sequence"]) for _, row in rows(first)] == ["OVERALL"]
    assert len(rows(found.find("details", class_="whole").table)) == 2


def test_nothing_in_a_table_is_markup():
    nasty = "<img src=x onerror=alert(1)> & \"'"
    frame = pd.DataFrame({f"loss {nasty}": [nasty, "b"], "note": [nasty, None], "MOTA": [1.5, 2.5]})
    made_from = tables.provenance(data=nasty)
    parts = {"made_from": made_from, "text": nasty, "lacks": nasty, "file": "tables/" + nasty}
    section = document.Section(nasty, nasty, (document.Table(frame, **parts),))
    text = page.render(document.Document(nasty, nasty, nasty, (section,)))
    found = parse(text)
    assert not found.find_all("img") and "<img" not in text
    assert found.title.text == nasty
    assert found.table.tbody.th.text == nasty
    assert nasty in found.find(class_="origin").text
    assert unquote(found.find(class_="made").a["href"]) == "tables/" + nasty


def test_every_table_says_what_it_was_made_from():
    text = rendered(ablation(), made_from=MADE_FROM).find_parent("section").find(class_="origin").text
    for part in ("profile smoke", "data rendered", "seeds 0, 1", f"commit {MADE_FROM['commit']}"):
        assert part in " ".join(text.split())
    assert "weights" not in text, "what does not apply is left out"


def test_a_picture_is_inside_and_looks_the_same(tmp_path):
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:, 30:] = (200, 30, 90)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    figure = document.Figure(tmp_path / "a.png", "figures/a.png", "A `red` half")
    found = page.picture(figure)
    assert (found["width"], found["height"]) == (60, 40)
    data = Path(tmp_path / "a.webp")
    data.write_bytes(base64.b64decode(found["source"].removeprefix("data:image/webp;base64,")))
    with Image.open(data) as image:
        np.testing.assert_array_equal(np.asarray(image), pixels)
    with pytest.raises(OSError):
        page.picture(document.Figure(tmp_path / "none.png", "figures/none.png", ""))


# --- the whole report ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(standard) -> BeautifulSoup:
    return parse((standard / "index.html").read_text())


def matches(label: str, cells: dict[str, Tag], row: pd.Series, keys: list[str]) -> bool:
    """Whether a row of the page is that of the frame."""
    shown = [name for name in keys if name in cells]
    hidden = ", ".join(str(row[name]) for name in keys if name not in cells)
    same = all(number(cells[name]) == str(row[name]) for name in shown)
    return same and label.removesuffix(", beyond the paper").removesuffix("beyond the paper") == hidden


def agrees(text: str, value: object) -> bool:
    """Whether a printed cell is that of the frame."""
    if pd.isna(value) or isinstance(value, str | np.bool_):
        return text == ("" if pd.isna(value) else str(value))
    return abs(float(text) - value) <= max(0.501 * 10.0 ** -len(text.partition(".")[2]), 1e-9)


def test_the_tables_hold_the_numbers_of_the_csvs(standard, whole):
    checked = 0
    for block in whole.find_all(class_="table", attrs={"data-file": True}):
        frame = pd.read_csv(standard / unquote(block["data-file"]), keep_default_na=False, na_values=[""])
        names = list(frame)
        keys = names[
            : next(at for at, name in enumerate(names) if pd.api.types.is_numeric_dtype(frame[name]))
        ]
        found = set()
        for view in block.find_all(class_="view"):
            caption = view.find(class_="caption")
            side = {"The paper's:": "paper", "Ours:": "ours"}.get(caption.text if caption else "", "")
            if caption and not side:
                continue  # effects are computed
            for label, cells in rows(view.table):
                values = {
                    (f"{name} ({side})" if f"{name} ({side})" in names else name): cells[name]
                    for name in cells
                }
                values = {name: number(cell) for name, cell in values.items() if name not in keys}
                same = [at for at, row in frame.iterrows() if matches(label, cells, row, keys)]
                fits = [
                    at
                    for at in same
                    if all(agrees(text, frame.at[at, name]) for name, text in values.items())
                ]
                assert fits, (block["data-file"], label, values)
                found |= {(at, name) for at in fits for name in values}
        there = {(at, name) for name in names for at in frame.index[frame[name].notna()]}
        missing = {(at, name) for at, name in there - found if name not in keys and not name.endswith(" std")}
        assert not missing, (block["data-file"], missing)
        checked += len(found)
    assert checked > 1500


def test_markdown_and_page_say_the_same(standard, whole):
    text = (standard / "REPORT.md").read_text()
    headings = re.findall(r"^## (.*)$", text, re.M)
    assert [heading.text for heading in whole.find_all("h2")] == headings
    assert len(whole.find_all("table")) == len(re.findall(r"^\| -|^\| :?-", text, re.M))
    figures = re.findall(r"^!\[(.*)\]\((.*)\)$", text, re.M)
    assert [(one.img["alt"], one.a["href"]) for one in whole.find_all("figure")] == figures
    own = [target for _, target in figures if target.startswith("figures/")]
    assert len(own) == len(list((standard / "figures").glob("*.png")))
    assert len(figures) == len(own) + 1, "and that of the comparison on rendered scenes"
    for origin in re.findall(r"<sub>(.*)</sub>", text):
        assert origin.split("; ")[0].replace(": ", " ") in whole.text
    assert text.count("<details>") == text.count("</details>")


def test_the_page_needs_nothing_from_outside(standard, whole):
    text = (standard / "index.html").read_text()
    assert len(text) < 4_000_000
    assert not whole.find_all(["script", "iframe", "object", "embed", "audio", "video", "form", "base"])
    loads = [
        (tag.name, tag.get("src") or tag.get("href")) for tag in whole.find_all(["img", "link", "source"])
    ]
    assert loads and all(target.startswith("data:") for _, target in loads)
    assert not re.search(r"@import|url\(|srcset|http-equiv", whole.style.text + str(whole.head))


def test_every_link_leads_somewhere(standard, whole):
    anchors = {tag["id"] for tag in whole.find_all(id=True)}
    links = [link["href"] for link in whole.find_all("a")]
    for link in links:
        file = unquote(link.partition("#")[0])
        assert (standard / file).is_file() if file else link[1:] in anchors, link
    assert len(anchors) == len(whole.find_all("h2")), "no two sections under one name"
    assert "html/02_dhn_training-seq_gru-eq3-seed0.html" in links, "a published folder leads to its own pages"


def test_a_report_without_any_run_is_the_papers_tables_and_why(smoke):
    report.write(smoke)
    found = parse((smoke.paths.root / "index.html").read_text())
    assert "no evidence" in found.find(class_="warning").text
    assert found.find(class_="warning").a["href"] == "../../reports/standard/index.html"
    *papers, summary = found.find_all("table")
    assert len(papers) == 6 and "0 of 22" in summary.text
    assert not seen(found), "what has no number of ours is folded"
    for table in papers:
        block = table.find_parent(class_="table")
        assert block.find(class_="lacks").text.startswith("Ours: ")
        assert block.summary.text == "the paper's numbers"
    assert bold(papers[0], "MOTA") == ["60.20", "60.66"]
    assert "run notebook 10" in found.find(id="the-paper-s-claims").find_next("p").text


def test_rows_that_were_not_run_are_counted(smoke):
    paths = smoke.paths
    theirs = report.paper.table(3)
    frame = beside(theirs, theirs.iloc[3:], report.paper.KEYS[3])
    tables.write(paths.tables / "table3.csv", frame, MADE_FROM)
    report.write(smoke)
    found = parse((paths.root / "index.html").read_text())
    assert found.find(id="table-3").find_next(class_="lacks").text == (
        "3 of the paper's rows were not run in this profile."
    )
    assert "| Table 3 | 6 of 9 | 0, 1 | rendered |" in (paths.root / "REPORT.md").read_text()
