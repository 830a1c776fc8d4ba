from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData, PixelData
from mmpretrain.structures import DataSample
from mmseg.structures import SegDataSample
from torch import nn

from gppf_mm.engine.hooks import MultiTaskVisualizationHook
from gppf_mm.visualization import (
    build_visualizer,
    draw_sample,
    enlarge,
    load_image,
    plot_montage,
    stock_visualizer,
)

META = dict(classes=("one", "two"), palette=[[255, 0, 0], [0, 0, 255]])


def seg_sample(size: int = 8) -> SegDataSample:
    labels = torch.zeros(1, size, size, dtype=torch.long)
    labels[..., size // 2 :] = 1
    sample = SegDataSample()
    sample.gt_sem_seg = PixelData(data=labels)
    sample.pred_sem_seg = PixelData(data=1 - labels)
    return sample


def test_segmentor_draws_truth_left_and_prediction_right(tmp_path: Path):
    visualizer = build_visualizer(stock_visualizer("mmseg"), "seg", META)
    visualizer.alpha = 1.0
    image, sample = enlarge(np.zeros((8, 8, 3), np.uint8), seg_sample(), 256)
    draw_sample(visualizer, image, sample, tmp_path / "x.png")
    drawn = cv2.imread(str(tmp_path / "x.png"))[..., ::-1]
    assert drawn.shape == (256, 512, 3)
    # The lower edge is free of labels' names.
    colours = [drawn[-3, column].tolist() for column in (10, 246, 266, 502)]
    red, blue = META["palette"]
    assert colours == [red, blue, blue, red]


def test_enlarging_keeps_boxes_on_their_objects():
    image = np.zeros((20, 30, 3), np.uint8)
    image[4:10, 6:18] = 255
    sample = DetDataSample()
    sample.pred_instances = InstanceData(
        bboxes=torch.tensor([[6.0, 4.0, 18.0, 10.0]]), scores=torch.ones(1)
    )
    large, moved = enlarge(image, sample, 60)
    assert large.shape == (60, 90, 3)
    left, top, right, bottom = moved.pred_instances.bboxes[0].int().tolist()
    boxed = np.zeros((60, 90), bool)
    boxed[top:bottom, left:right] = True
    assert np.array_equal(large[..., 0] > 100, boxed)
    # The prediction itself is not touched.
    assert sample.pred_instances.bboxes[0, 0] == 6


def test_large_image_and_unknown_labels_stay():
    image = np.zeros((300, 300, 3), np.uint8)
    assert enlarge(image, seg_sample(), 256)[0] is image
    sample = DetDataSample()
    sample.pred_instances = InstanceData(bboxes=torch.ones(1, 4), masks=[1])
    small = np.zeros((30, 30, 3), np.uint8)
    assert enlarge(small, sample, 256) == (small, sample)


def test_image_of_a_file_is_rgb_in_its_own_size(tmp_path: Path):
    rgb = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "x.png"), rgb[..., ::-1])
    sample = DataSample(metainfo=dict(img_path=str(tmp_path / "x.png")))
    loaded = load_image(sample, torch.zeros(3, 2, 2))
    assert np.array_equal(loaded, rgb)


@pytest.mark.parametrize(
    "name", ["_channel_conversion", "channel_conversion", "to_rgb"]
)
@pytest.mark.parametrize("swaps", [True, False])
def test_image_of_a_tensor_has_the_channels_that_the_model_sees(name: str, swaps: bool):
    rgb = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    loaded = rgb[..., ::-1].copy() if swaps else rgb
    preprocessor = nn.Module()
    setattr(preprocessor, name, swaps)
    sample = DataSample(metainfo=dict(ori_shape=(5, 7)))
    tensor = torch.from_numpy(loaded).permute(2, 0, 1)
    assert np.array_equal(load_image(sample, tensor, preprocessor), rgb)


def test_visualizer_that_cannot_draw():
    with pytest.raises(ValueError, match="cannot draw predictions"):
        build_visualizer(dict(type="Visualizer"), "plain", META)


def test_montage_shows_every_row_in_full(tmp_path: Path):
    """Each picture's colour takes the area that its shape says."""
    colours = dict(pair=(255, 0, 0), single=(0, 0, 255))
    for name, width in dict(pair=200, single=100).items():
        picture = np.full((100, width, 3), colours[name], np.uint8)
        cv2.imwrite(str(tmp_path / f"{name}.png"), picture[..., ::-1])
    pictures = {name: [tmp_path / f"{name}.png"] * 9 for name in colours}
    plot_montage(pictures, tmp_path / "montage.png", "Title", columns=3)
    page = cv2.imread(str(tmp_path / "montage.png"))[..., ::-1]
    areas = {
        name: int((page == np.array(colour)).all(axis=-1).sum())
        for name, colour in colours.items()
    }
    # Three pairs and six singles: the same area, filling most of the page.
    assert areas["pair"] == pytest.approx(areas["single"], rel=0.1)
    assert sum(areas.values()) > 0.75 * page.shape[0] * page.shape[1]


def test_montage_without_pictures(tmp_path: Path):
    with pytest.raises(ValueError, match="no picture to draw for 'det'"):
        plot_montage(dict(det=[]), tmp_path / "x.png", "Title")


def test_pictures_of_images_of_one_name_do_not_replace_each_other(tmp_path: Path):
    hook = MultiTaskVisualizationHook()
    names = [
        hook._name(tmp_path, DataSample(metainfo=dict(img_path=f"{at}/img/1.png")), at)
        for at in range(4)
    ]
    assert len(set(names)) == 4
