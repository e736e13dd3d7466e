"""Every layout gives its classes, splits, ids and boxes; a data set is divided as asked, the same for a seed."""

from pathlib import Path

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as some

from model import errors
from model.data import dataset, datasets
from tests import trees

BIRDS = ["Black footed Albatross", "Laysan Albatross", "Sooty Albatross"]
LAYOUTS = {
    "cub200": (trees.cub200, BIRDS, [0.0, 2.0, 20.0, 10.5]),
    "cars": (trees.cars, ["AM Hummer", "BMW M3", "VW Golf"], [10.0, 5.0, 20.0, 20.0]),
    "aircraft": (trees.aircraft, trees.VARIANTS, [2.0, 3.0, 10.0, 10.0]),
    "dogs": (trees.dogs, ["Chihuahua", "Japanese spaniel", "Maltese dog"], [4.0, 5.0, 20.0, 10.0]),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_authors_own_layout(name: str, tmp_path: Path) -> None:
    make, names, box = LAYOUTS[name]
    data = datasets.load(name, make(tmp_path / "here"))
    assert data.class_names == names
    assert all(path.is_file() for path in data.paths)
    assert np.bincount(data.labels_N).tolist() == [trees.TRAIN + trees.TEST] * 3
    assert np.bincount(data.labels_N[data.test_N]).tolist() == [trees.TEST] * 3
    assert len(set(data.ids)) == len(data.paths) == 18
    assert data.boxes_N4[0].tolist() == box
    pictures = [np.asarray(trees.Image.open(path).convert("L")).mean() for path in data.paths]
    assert np.argsort(np.argsort(pictures)).tolist() == pytest.approx(data.labels_N * 6, abs=5.5)  # brighter by class


def test_the_folder_that_an_archive_unpacks_to_is_found(tmp_path: Path) -> None:
    trees.cub200(tmp_path / "CUB_200_2011")
    assert len(datasets.load("cub200", tmp_path).paths) == 18
    trees.aircraft(tmp_path / "fgvc-aircraft-2013b")
    assert len(datasets.load("aircraft", tmp_path).paths) == 18


@pytest.mark.parametrize(
    ("name", "address", "tree"),
    [
        ("cub200", "vision.caltech.edu", "train_test_split.txt"),
        ("cars", "ai.stanford.edu", "devkit/cars_train_annos.mat"),
        ("aircraft", "robots.ox.ac.uk", "images_variant_trainval.txt"),
        ("dogs", "vision.stanford.edu", "train_list.mat"),
        ("folder", "any folder", "CLASS/IMAGE.jpg"),
    ],
)
def test_absent_data_is_told_with_its_address_and_tree(name: str, address: str, tree: str, tmp_path: Path) -> None:
    with pytest.raises(errors.BadInput, match=rf"nowhere does not hold the data.*{tree}.*{address}.*--root DIR"):
        datasets.load(name, tmp_path / "nowhere")


def test_a_name_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(errors.UnknownName, match="did you mean 'cub200'"):
        datasets.load("cub20", tmp_path)


@pytest.mark.parametrize(
    ("name", "home", "names"),
    [
        ("cub200", "CUB200", trees.NAMES),
        ("cars", "StanfordCars", ["1", "2", "3"]),
        ("aircraft", "Aircraft", ["A", "BAE 146-200", "C"]),
    ],
)
def test_image_lists_in_the_root_or_in_their_own_folder(name: str, home: str, names: list[str], tmp_path: Path) -> None:
    root = trees.lists(tmp_path / home, names)
    data = datasets.load(name, tmp_path)
    assert data.ids == datasets.load(name, root).ids
    assert data.class_names == (BIRDS if name == "cub200" else names)
    assert all(path.is_file() for path in data.paths)
    assert data.test_N.sum() == 6
    assert {share: len(list_M) for share, list_M in data.lists.items()} == {10: 3, 50: 6, 100: 12}
    assert np.bincount(data.labels_N[data.lists[50]]).tolist() == [2, 2, 2]


def test_the_published_list_is_the_labelled_part_whatever_the_seed(tmp_path: Path) -> None:
    data = datasets.load("cub200", trees.lists(tmp_path, trees.NAMES))
    for seed in (0, 1):
        parts = datasets.part(data, ratio=0.1, seed=seed)
        assert [data.ids[at].split("/")[-1] for at in parts.labelled] == ["0.jpg"] * 3
    assert len(datasets.part(data, ratio=0.25, seed=0).labelled) == 3  # no list: stratified, one of four


def test_the_first_classes_alone_with_their_own_list(tmp_path: Path) -> None:
    data = datasets.load("cub200", trees.lists(tmp_path, trees.NAMES), classes=2)
    assert data.class_names == BIRDS[:2]
    assert np.bincount(data.labels_N).tolist() == [6, 6]
    assert [data.ids[at].split("/")[-1] for at in data.lists[10]] == ["3.jpg", "3.jpg"]  # of train_1032.txt
    assert len(data.lists[50]) == 4  # no such list: those of the whole
    assert len(datasets.load("cub200", tmp_path, classes=3).paths) == 18
    with pytest.raises(errors.BadInput, match="100 classes of 3"):
        datasets.load("cub200", tmp_path, classes=100)


def test_a_folders_metadata_gives_split_and_boxes(tmp_path: Path) -> None:
    for label, name in enumerate("ab"):
        for number in range(2):
            trees.picture(tmp_path / name / f"{number}.png", label, number)
    rows = [
        "file,split,x,y,w,h",
        "a/0.png,train,1,2,3,4",
        "a/1.png,test,,,,",
        "b/0.png,train,,,,",
        "b/1.png,test,0,0,9,9",
    ]
    (tmp_path / "metadata.csv").write_text("\n".join(rows))
    data = datasets.load("folder", tmp_path)
    assert data.test_N.tolist() == [False, True, False, True]
    assert data.boxes_N4[0].tolist() == [1, 2, 3, 4]
    assert np.isnan(data.boxes_N4[1]).all()
    (tmp_path / "metadata.csv").write_text("file,note\na/0.png,x\n")
    assert len(datasets.load("folder", tmp_path).test_N) == 0


def made(counts: list[int], with_split: bool) -> datasets.Dataset:
    rows = [
        dataset.Row(f"{k}/{at}", Path(f"{k}/{at}"), k, with_split and at % 3 == 2)
        for k, count in enumerate(counts)
        for at in range(count)
    ]
    data = dataset.collected([str(k) for k in range(len(counts))], rows)
    return (
        data
        if with_split
        else datasets.Dataset(*list(vars(data).values())[:3], np.empty(0, bool), data.ids, data.boxes_N4)
    )


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(
    some.lists(some.integers(3, 40), min_size=2, max_size=5),
    some.booleans(),
    some.floats(0.01, 1.0),
    some.integers(0, 99),
)
def test_parts_share_nothing_hold_everything_and_every_class_keeps_a_label(
    counts: list[int], with_split: bool, ratio: float, seed: int
) -> None:
    data = made(counts, with_split)
    parts = datasets.part(data, ratio=ratio, seed=seed)
    together = np.concatenate([parts.labelled, parts.unlabelled, parts.validation, parts.test])
    assert sorted(together.tolist()) == list(range(len(data.paths)))
    train_K = np.bincount(data.labels_N[np.setdiff1d(together, parts.test)], minlength=len(counts))
    labelled_K = np.bincount(data.labels_N[parts.labelled], minlength=len(counts))
    assert (labelled_K >= 1).all()
    held_K = np.bincount(data.labels_N[parts.validation], minlength=len(counts))
    spare_K = train_K - held_K
    assert (labelled_K == np.minimum(np.maximum(1, np.round(train_K * ratio)), spare_K)).all()
    again, other = datasets.part(data, ratio=ratio, seed=seed), datasets.part(data, ratio=0.5, seed=seed)
    assert again.labelled.tolist() == parts.labelled.tolist()
    assert other.test.tolist() == parts.test.tolist()


def test_without_a_validation_share_nothing_is_held_back() -> None:
    parts = datasets.part(made([10, 10], False), ratio=1.0, seed=0, validation=0.0)
    assert (len(parts.labelled), len(parts.unlabelled), len(parts.validation), len(parts.test)) == (12, 0, 0, 8)
    with pytest.raises(errors.BadInput, match="validation share"):
        datasets.part(made([10, 10], False), ratio=1.0, seed=0, validation=1.0)
