"""The playgrounds: scenes follow their controls at once, hints come true, widgets follow the scene."""

import io
from unittest.mock import create_autospec

import motmetrics
import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from PIL import Image

from deepmot_lib import matchers
from deepmot_lib.assignment import optimal_assignment
from deepmot_lib.distance import box_distance, jaccard_distance
from deepmot_lib.experiments import examples
from deepmot_lib.experiments.gradients import Frame, count_errors
from deepmot_lib.report import playground
from deepmot_lib.report.playground import counts, hints, rivals, widgets

pytestmark = pytest.mark.slow

SIZE = examples.IMAGE_SIZE


@pytest.fixture(scope="module")
def choice():
    return {name: matchers.load(name, pairs="eq3") for name in ("seq_gru", "min_sum", "sinkhorn", "softmax")}


@pytest.fixture
def scenes(choice):
    return {
        "clip": playground.ClipScene(examples.fig9(), choice, SIZE),
        "rivals": playground.RivalsScene(choice, SIZE),
        "counts": playground.CountsScene(),
    }


def picture(scene):
    return np.asarray(Image.open(io.BytesIO(scene.png())), dtype=int)


# --- scenes -------------------------------------------------------------------------------------------------


def test_a_move_draws_no_axes_anew(scenes, monkeypatch):
    """What stays of a figure takes most of its time: ``benchmarks`` measures how much."""
    drawn = create_autospec(Axes.draw, side_effect=Axes.draw)
    monkeypatch.setattr(Axes, "draw", drawn)
    for name, slider in {"clip": "right", "rivals": "x", "counts": "a11"}.items():
        scene, control = scenes[name], scenes[name].controls[slider]
        before = picture(scene)
        scene.show(**{slider: control.low + control.step})
        assert (picture(scene) != before).any() and not drawn.called, name


def test_the_axes_stay_where_they_are_and_what_moves_leaves_no_trace(scenes):
    moves = {"clip": {"right": 40.0, "size": 1.5}, "rivals": {"x": 200.0}, "counts": {"a11": 0.2}}
    for name, scene in scenes.items():
        places = [ax.get_position().bounds for ax in scene.figure.axes]
        limits = [(ax.get_xlim(), ax.get_ylim()) for ax in scene.figure.axes]
        before, first = picture(scene), dict(scene.values)
        scene.show(**moves[name])
        moved = picture(scene)
        assert moved.shape == before.shape
        assert 0 < (moved != before).any(-1).mean() < 0.2, name
        assert [ax.get_position().bounds for ax in scene.figure.axes] == places
        assert [(ax.get_xlim(), ax.get_ylim()) for ax in scene.figure.axes] == limits, name
        scene.show(**first)
        assert (picture(scene) == before).all(), name
        scene.show(**moves[name])
        scene.reset()
        assert (picture(scene) == before).all() and scene.values == first, name


def test_every_choice_of_every_menu_and_the_ends_of_every_slider_can_be_drawn(scenes):
    for scene in scenes.values():
        for name, control in scene.controls.items():
            for value in getattr(control, "choices", None) or (control.low, control.high):
                scene.show(**{name: value})
                assert picture(scene).std() > 0


def test_tracks_move_as_told_and_stay_where_another_is_moved(scenes):
    scene, start = scenes["clip"], examples.fig9()["FP"][-1].predictions
    scene.show(right=-10.0, down=5.0)
    scene.show(size=0.5)
    scene.show(track="3")
    assert scene.number("right") == 0 and scene.number("size") == 1
    scene.show(right=7.0)
    # Track 1 was 50 x 120 around (250, 112).
    assert scene.boxes()[0].tolist() == [240 - 12.5, 117 - 30, 240 + 12.5, 117 + 30]
    assert torch.equal(scene.boxes()[1], start[1])
    assert torch.equal(scene.boxes()[2], start[2] + torch.tensor([7.0, 0, 7, 0]))
    scene.show(track="1")
    assert (scene.number("right"), scene.number("down"), scene.number("size")) == (-10, 5, 0.5)
    scene.show(case="IDS", track="3")
    assert scene.text("track") == "2", "the case has two tracks"
    assert torch.equal(scene.boxes(), examples.fig9()["IDS"][-1].predictions)


def test_ten_steps_lower_the_loss_and_a_move_begins_another_descent(scenes):
    scene = scenes["clip"]
    for case in examples.fig9():
        scene.show(case=case)
        scene.press("ten gradient steps")
        assert len(scene.descent) == 11 and scene.descent[-1] < 0.9 * scene.descent[0]
        assert (scene.boxes() - examples.fig9()[case][-1].predictions).abs().max() <= 10.001
        scene.press("ten gradient steps")
        assert len(scene.descent) == 21
        scene.show(right=1.0)
        assert scene.descent == []
    with pytest.raises(ValueError, match="there is no button 'jump'"):
        scenes["counts"].press("jump")


def test_the_box_descends_on_what_was_chosen_and_the_sliders_follow(scenes):
    scene = scenes["rivals"]
    scene.show(descend_on="Jaccard J")
    scene.press("ten gradient steps")
    assert scene.descent == [1.0] * 11, "disjoint boxes: nothing to follow"
    scene.reset()
    for _ in range(6):
        scene.press("ten gradient steps")
    assert jaccard_distance(scene.box, scene.object).item() < 0.2
    place = [scene.number(name) for name in ("x", "y", "width", "height")]
    assert place == pytest.approx([160, 120, 60, 150], abs=8)
    values = dict(scene.values)
    scene.show(**values)  # what a browser sends back changes nothing
    assert scene.values == values and len(scene.descent) == 61
    scene.show(start="on it")
    assert jaccard_distance(scene.box, scene.object).item() == 0
    assert set(scene.controls["start"].choices) == set(rivals.STARTS)


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("all is well", (0, 0, 0)),
        ("swapped", (0, 0, 2)),
        ("a miss and a false positive", (1, 1, 0)),
        ("both claim object 1", (0, 1, 0)),
        ("undecided", (2, 2, 0)),
    ],
)
def test_at_the_released_scale_soft_counts_are_those_of_the_thresholds(scenes, case, expected):
    """Entries away from the threshold; at the threshold itself each of three equals takes a third."""
    scene = scenes["counts"]
    scene.show(case=case)
    soft = scene.soft()
    counted = counts.count_thresholds(soft, counts.BEFORE["1 on 1, 2 on 2"])
    assert tuple(counted.values()) == expected
    if case == "undecided":
        assert [count.item() for count in scene.counts(soft).values()] == pytest.approx([2 / 3] * 3)
    else:
        assert [count.item() for count in scene.counts(soft).values()] == pytest.approx(expected, abs=1e-4)


# --- counted errors -----------------------------------------------------------------------------------------


def test_errors_are_counted_as_motmetrics_counts_them():
    rng = torch.Generator().manual_seed(0)
    for _ in range(30):
        tracks, objects = torch.randint(0, 5, (2,), generator=rng).tolist()
        people = torch.rand(max(tracks, objects), 2, generator=rng) * 150
        boxes = torch.cat([people, people + torch.tensor([50.0, 120.0])], -1)
        predictions = boxes[:tracks] + 25 * torch.randn(tracks, 1, generator=rng)
        frame = Frame(predictions, list(range(tracks)), boxes[:objects], list(range(objects)))
        found = count_errors([frame], SIZE)
        overlap = 1 - jaccard_distance(predictions, boxes[:objects])
        accumulator = motmetrics.MOTAccumulator(auto_id=True)
        apart = (1 - overlap).T.double().numpy()
        accumulator.update(list(range(objects)), list(range(tracks)), np.where(apart > 0.5, np.nan, apart))
        kinds = accumulator.mot_events.Type.value_counts()
        assert found["FP"] == kinds.get("FP", 0) and found["FN"] == kinds.get("MISS", 0)


# --- hints --------------------------------------------------------------------------------------------------


def test_hints_come_true(choice):
    """What each hint says is to be seen."""
    clips, scene = examples.fig9(), playground.ClipScene(examples.fig9(), choice, SIZE)

    def after(name):
        hints.follow(scene, hints.HINTS[name])
        result = scene.result()
        soft = [getattr(result.terms, key).item() for key in ("fp", "fn", "ids")]
        return result, soft, list(count_errors(scene.clip(), SIZE).values())

    seen = {name: after(name) for name in hints.HINTS}
    _, soft, counted = seen["undo the switch"]
    assert counted == [0, 0, 0] and max(soft) < 0.1

    result, soft, counted = seen["undo half of it"]
    assert counted == [1, 1, 0] and soft[0] < 0.2 and soft[1] > 0.9
    assert (result.soft[:, 0] > 0.7).all() and (result.soft[:, 1] < 0.2).all(), "both claim object 1"

    result, soft, counted = seen["the same by another matcher"]
    assert counted == [1, 1, 0] and max(soft) < 0.1
    assert torch.equal((result.soft > 0.5).float(), optimal_assignment(result.distance))
    assert jaccard_distance(scene.boxes()[1:], clips["IDS"][-1].objects[1:]).item() > 0.5

    result, soft, counted = seen["a rival"]
    assert counted == [1, 0, 0] and soft[0] < 0.3
    assert result.soft[0, 1] > 0.5 and result.soft[2, 1] > 0.5, "the network takes both"

    _, soft, counted = seen["neither here nor there"]
    assert counted == [1, 2, 0] and soft == pytest.approx(counted, abs=0.15)

    result, soft, counted = seen["take the other one"]
    assert counted == [0, 1, 0] and soft == pytest.approx(counted, abs=0.1)
    assert result.soft[:, 1].max() < 0.5 < result.soft[:, 2].max(), "now object 2 is missed"

    hints.follow(scene, hints.HINTS["ten steps"])
    assert scene.descent[-1] < 0.8 * scene.descent[0]
    assert seen["ten steps"][1][2] > 1.9 and seen["ten steps"][2] == [0, 0, 2]

    result, soft, counted = seen["too sure"]
    assert soft == pytest.approx(counted, abs=1e-4)
    assert all(result.pulls[name].abs().max() < 1e-8 for name in ("FP", "FN", "IDS"))
    assert result.pulls["dMOTP"].abs().max() > 1e-3


def test_the_table_of_hints_is_what_following_them_gives(choice):
    table = hints.try_out(examples.fig9(), choice, SIZE)
    assert list(table.index) == list(hints.HINTS)
    assert table.loc["undo half of it", ["counted FP", "counted FN", "counted IDS"]].tolist() == [1, 1, 0]
    words = hints.in_words(hints.HINTS["undo the switch"])
    assert words == "case `IDS`, right `-54`, track `2`, right `54`"


# --- widgets ------------------------------------------------------------------------------------------------


@pytest.fixture
def shown(monkeypatch):
    import IPython.display

    calls = []
    monkeypatch.setattr(IPython.display, "display", lambda *things: calls.extend(things))
    return calls


def test_without_a_frontend_there_is_a_picture_and_a_note(scenes, shown, monkeypatch):
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    playground.explore(scenes["rivals"])
    image, note = shown
    assert image.data == scenes["rivals"].png() and image.alt
    assert note.data == widgets.STATIC and "JupyterLab" in note.data


def test_live_controls_follow_the_hand_and_the_scene(scenes, shown, monkeypatch):
    pytest.importorskip("ipywidgets")
    monkeypatch.setenv("JPY_SESSION_NAME", "someone.ipynb")
    scene = scenes["clip"]
    playground.explore(scene)
    above, sliders, image = shown[0].children
    case, _, _, track, steps, reset = above.children
    right, _, size = sliders.children
    assert right.description == "right [px]" and (right.min, right.max, right.step) == (-120, 120, 1)
    assert size.step == pytest.approx(0.05)
    first = image.value
    right.value = -54.0
    assert scene.boxes()[0, 0].item() == 225 - 54
    assert image.value == scene.png() != first
    track.value = "2"
    assert right.value == 0, "the slider shows where track 2 is"
    track.value = "1"
    assert right.value == -54
    steps.click()
    assert len(scene.descent) == 11 and image.value == scene.png()
    case.value = "IDS"
    assert right.value == 0
    reset.click()
    assert case.value == "FP" and image.value == first


def test_the_distance_that_is_counted_is_the_librarys():
    """The pairs that count are those of the least total distance among those that overlap by half."""
    frame = examples.fig9()["IDS"][-1]
    distance = box_distance(frame.predictions, frame.objects, SIZE)
    assert optimal_assignment(distance).tolist() == [[0, 1], [1, 0]]
    assert count_errors(examples.fig9()["IDS"], SIZE) == {"FP": 0, "FN": 0, "IDS": 2}
