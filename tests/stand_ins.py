"""Three stock tasks over a ResNet-18, small enough for a test, and batches for them."""

import math
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

import torch
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData, PixelData
from torch import nn

from gppf_mm.models import GPPF
from gppf_mm.registry import MODELS

TASKS = ("det", "seg", "cls")
IMAGE_SIZE = 64


def resnet18(width: int, with_cp: bool) -> dict[str, Any]:
    """Return the config of a stock ResNet-18; its standard width is 64."""
    return dict(
        type="ResNet",
        depth=18,
        base_channels=width,
        stem_channels=width,
        norm_cfg=dict(type="BN", requires_grad=True),
        norm_eval=False,
        style="pytorch",
        # Else the residual branches have no gradient in the first step.
        zero_init_residual=False,
        with_cp=with_cp,
    )


def task_configs(width: int = 16, with_cp: bool = False) -> dict[str, dict]:
    """Return stock configs of RetinaNet, FCN and ImageClassifier over a ResNet-18."""
    channels = [width, 2 * width, 4 * width, 8 * width]
    detector = dict(
        _scope_="mmdet",
        type="RetinaNet",
        data_preprocessor=dict(
            type="DetDataPreprocessor",
            mean=[123.675, 116.28, 103.53],
            std=[58.395, 57.12, 57.375],
        ),
        backbone=resnet18(width, with_cp),
        neck=dict(type="FPN", in_channels=channels, out_channels=16, num_outs=4),
        bbox_head=dict(
            type="RetinaHead",
            num_classes=3,
            in_channels=16,
            feat_channels=16,
            stacked_convs=1,
            anchor_generator=dict(
                type="AnchorGenerator",
                octave_base_scale=4,
                scales_per_octave=1,
                ratios=[1.0],
                strides=[4, 8, 16, 32],
            ),
        ),
        train_cfg=dict(
            assigner=dict(
                type="MaxIoUAssigner",
                pos_iou_thr=0.5,
                neg_iou_thr=0.4,
                min_pos_iou=0,
                ignore_iof_thr=-1,
            ),
            sampler=dict(type="PseudoSampler"),
            allowed_border=-1,
            pos_weight=-1,
            debug=False,
        ),
        test_cfg=dict(
            nms_pre=100,
            min_bbox_size=0,
            # An untrained detector's scores are about 0.01.
            score_thr=0.001,
            nms=dict(type="nms", iou_threshold=0.5),
            max_per_img=20,
        ),
    )
    segmentor = dict(
        _scope_="mmseg",
        type="EncoderDecoder",
        data_preprocessor=dict(
            type="SegDataPreProcessor",
            mean=[123.675, 116.28, 103.53],
            std=[58.395, 57.12, 57.375],
            size=(IMAGE_SIZE, IMAGE_SIZE),
        ),
        backbone=dict(
            resnet18(width, with_cp), strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4)
        ),
        decode_head=dict(
            type="FCNHead",
            in_channels=8 * width,
            in_index=3,
            channels=16,
            num_convs=1,
            concat_input=False,
            # Dropout would make two runs differ.
            dropout_ratio=0,
            num_classes=4,
            norm_cfg=dict(type="BN"),
            align_corners=False,
        ),
        train_cfg={},
        test_cfg=dict(mode="whole"),
    )
    classifier = dict(
        _scope_="mmpretrain",
        type="ImageClassifier",
        data_preprocessor=dict(
            mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]
        ),
        backbone=dict(resnet18(width, with_cp), out_indices=(3,)),
        neck=dict(type="GlobalAveragePooling"),
        head=dict(type="LinearClsHead", num_classes=5, in_channels=8 * width),
    )
    return deepcopy(dict(det=detector, seg=segmentor, cls=classifier))


def batches(seed: int = 0) -> dict[str, dict]:
    """Return a labelled batch of each task, as its stock loader would yield it."""
    generator = torch.Generator().manual_seed(seed)
    return dict(
        det=_detection(generator), seg=_segmentation(generator), cls=_classes(generator)
    )


def _images(number: int, generator: torch.Generator) -> list[torch.Tensor]:
    shape = (3, IMAGE_SIZE, IMAGE_SIZE)
    return [
        torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
        for _ in range(number)
    ]


def _meta() -> dict[str, tuple]:
    size = (IMAGE_SIZE, IMAGE_SIZE)
    return dict(img_shape=size, ori_shape=size, pad_shape=size, scale_factor=(1.0, 1.0))


def _detection(generator: torch.Generator) -> dict:
    from mmdet.structures import DetDataSample

    samples = []
    for _ in range(2):
        corner = torch.rand(2, 2, generator=generator) * 24
        size = 16 + torch.rand(2, 2, generator=generator) * 20
        sample = DetDataSample(metainfo=_meta())
        sample.gt_instances = InstanceData(
            bboxes=torch.cat([corner, corner + size], dim=1),
            labels=torch.randint(0, 3, (2,), generator=generator),
        )
        samples.append(sample)
    return dict(inputs=_images(2, generator), data_samples=samples)


def _segmentation(generator: torch.Generator) -> dict:
    from mmseg.structures import SegDataSample

    shape = (1, IMAGE_SIZE, IMAGE_SIZE)
    samples = []
    for _ in range(2):
        sample = SegDataSample(metainfo=_meta())
        labels = torch.randint(0, 4, shape, generator=generator)
        sample.gt_sem_seg = PixelData(data=labels)
        samples.append(sample)
    return dict(inputs=_images(2, generator), data_samples=samples)


def _classes(generator: torch.Generator) -> dict:
    from mmpretrain.structures import DataSample

    labels = torch.randint(0, 5, (4,), generator=generator).tolist()
    return dict(
        inputs=_images(4, generator),
        data_samples=[DataSample(metainfo=_meta()).set_gt_label(i) for i in labels],
    )


def build_gppf(
    router: dict[str, Any],
    num_units: int = 4,
    tasks: dict[str, dict] | None = None,
    **others: Any,
) -> GPPF:
    """Build and initialise a GPPF over the stand-in tasks, in training mode."""
    lego = dict(num_units=num_units, router=router, **others.pop("lego", {}))
    cfg = dict(type="GPPF", tasks=tasks or task_configs(), lego=lego, **others)
    model = MODELS.build(cfg)
    model.init_weights()
    return model.train()


def build_stock(task: str, width: int = 16, with_cp: bool = False) -> nn.Module:
    """Build a task's stock model by itself, in training mode."""
    return MODELS.build(ConfigDict(task_configs(width, with_cp)[task])).train()


def loss_of(model: nn.Module, batch: dict) -> torch.Tensor:
    """Return a stock model's total loss on a batch."""
    data = model.data_preprocessor(batch, True)
    return model.parse_losses(model(**data, mode="loss"))[0]


def predictions(task: str, samples: Sequence[Any]) -> dict[str, torch.Tensor]:
    """Return what a task's data samples predict, as tensors by name."""
    found = {}
    for index, sample in enumerate(samples):
        if task == "det":
            boxes = sample.pred_instances
            assert len(boxes), "a detector without detections shows nothing"
            part = {name: boxes[name] for name in ("bboxes", "scores", "labels")}
        elif task == "seg":
            part = dict(logits=sample.seg_logits.data, classes=sample.pred_sem_seg.data)
        else:
            part = dict(scores=sample.pred_score, label=sample.pred_label)
        found.update({f"{name}.{index}": value for name, value in part.items()})
    return found


def relative_error(
    found: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor]
) -> float:
    """Return the largest error of any tensor, relative to its largest magnitude.

    Integers, such as counters of batches, must be equal.
    """
    assert found.keys() == expected.keys()
    worst = 0.0
    for name, value in expected.items():
        difference = (found[name] - value).abs().max().item()
        assert math.isfinite(difference), name
        if not value.is_floating_point():
            assert difference == 0, name
        elif difference:
            worst = max(worst, difference / max(value.abs().max().item(), 1e-30))
    return worst
