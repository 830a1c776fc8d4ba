"""Expansion makes the config that one would write by hand."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS as ROOT_DATASETS
from mmengine.registry import PARAM_SCHEDULERS, DefaultScope
from mmengine.runner import Runner

from gppf_mm.apis import load_config
from gppf_mm.apis.stages import require_stage
from gppf_mm.recipes import expand, load_recipe
from gppf_mm.registry import METRICS, MODELS, TRANSFORMS, VISUALIZERS

DET = "mmdet::retinanet/retinanet_r18_fpn_1x_coco.py"
SEG = "mmseg::fcn/fcn_r18-d8_4xb2-80k_cityscapes-512x1024.py"
CLS = "mmpretrain::resnet/resnet18_8xb32_in1k.py"


def named(**extra: Any) -> dict[str, Any]:
    return dict(
        tasks=dict(det=dict(config=DET), seg=dict(config=SEG), cls=dict(config=CLS)),
        backbone=dict(type="mmpretrain.ResNet", depth=18, frozen_stages=-1),
        lego=dict(num_units=2, router=dict(type="gppf_mm.TopKRouter", k=1)),
        **{"train_cfg": dict(max_iters=100), **extra},
    )


def build(cfg: Config) -> torch.nn.Module:
    with DefaultScope.overwrite_default_scope("gppf_mm"):
        return MODELS.build(deepcopy(cfg.model))


def test_what_comes_out_is_the_recipes_own():
    cfg = Config(named())
    cfg.pop("backbone")
    full = expand(cfg)
    for task, name in (("det", DET), ("seg", SEG), ("cls", CLS)):
        recipe = load_recipe(name)
        scope = {"_scope_": recipe.scope}
        assert full.model.tasks[task] == {**scope, **recipe.cfg.model}
        for key in ("train_dataloader", "val_dataloader", "test_dataloader"):
            assert full[key][task] == {**scope, **recipe.cfg[key]}
        assert full.visualizers[task].type == recipe.cfg.visualizer.type


def test_expansion_is_pure():
    cfg = Config(named())
    before = deepcopy(cfg.to_dict())
    rng = torch.get_rng_state()
    assert expand(cfg).to_dict() == expand(cfg).to_dict()
    assert cfg.to_dict() == before
    assert torch.get_rng_state().equal(rng)
    assert DefaultScope.get_current_instance() is None or (
        DefaultScope.get_current_instance().scope_name == "gppf_mm"
    )


def test_the_dumped_config_runs_by_itself(tmp_path: Path):
    full = expand(Config(named()))
    full.dump(tmp_path / "full.py")
    again = load_config(tmp_path / "full.py")
    assert "tasks" not in again
    assert again.to_dict() == full.to_dict()
    assert set(build(again).task_names) == {"det", "seg", "cls"}


def test_every_part_is_built_in_its_own_scope():
    full = expand(Config(named()))
    with DefaultScope.overwrite_default_scope("gppf_mm"):
        for task in full.model.tasks:
            metric = full.val_evaluator[task]
            metric = metric if isinstance(metric, list) else [metric]
            for item in metric:
                item = deepcopy(item)
                item.pop("ann_file", None)
                assert METRICS.build(item)
            loader = full.train_dataloader[task]
            with DefaultScope.overwrite_default_scope(loader._scope_):
                for step in loader.dataset.pipeline:
                    assert TRANSFORMS.build(deepcopy(step)) is not None
                assert ROOT_DATASETS.get(f"{loader._scope_}.{loader.dataset.type}")
            assert VISUALIZERS.build(
                {**full.visualizers[task], "name": f"expand_{task}"}
            )


def test_nothing_leaks_into_the_libraries():
    recipe = load_recipe(DET).cfg.model.to_dict()
    recipe["backbone"]["init_cfg"] = None

    def stock() -> torch.Tensor:
        torch.manual_seed(0)
        with DefaultScope.overwrite_default_scope("mmdet"):
            model = MODELS.build(deepcopy(recipe)).eval()
        return model(torch.ones(1, 3, 64, 64))[0][0]

    before = stock()
    model = build(expand(Config(named())))
    with model.activate("seg") as segmentor:
        segmentor.train()
    assert stock().equal(before)


def test_a_task_s_settings_reach_its_parts():
    cfg = Config(named())
    cfg.tasks.det.update(
        batch_size=5,
        num_workers=0,
        data_root="/somewhere/coco/",
        loss_weight=0.5,
        lr_mult=0.1,
        cfg_options={"model.bbox_head.num_classes": 3},
    )
    full = expand(cfg)
    loader = full.train_dataloader.det
    assert loader.batch_size == 5
    assert (
        full.val_dataloader.det.batch_size
        == load_recipe(DET).cfg["val_dataloader"]["batch_size"]
    )
    assert not loader.persistent_workers
    assert loader.dataset.data_root == "/somewhere/coco/"
    assert full.val_evaluator.det.ann_file.startswith("/somewhere/coco/annotations/")
    assert full.model.loss_weights.det == 0.5
    assert full.model.loss_weights.seg == 1.0
    assert full.model.tasks.det.bbox_head.num_classes == 3
    assert full.optim_wrapper.paramwise_cfg.tasks.det.lr_mult == 0.1
    assert full.train_dataloader.seg.dataset.data_root.startswith("data/")


def test_an_override_wins_over_the_data_root():
    cfg = Config(named())
    cfg.tasks.det.data_root = "/a"
    cfg.tasks.det.cfg_options = {
        "val_dataloader.dataset.data_root": "/b",
        "val_evaluator.ann_file": "data/coco/x.json",
    }
    full = expand(cfg)
    assert full.train_dataloader.det.dataset.data_root == "/a/"
    assert full.val_dataloader.det.dataset.data_root == "/b"
    assert full.val_evaluator.det.ann_file == "data/coco/x.json"
    assert full.test_evaluator.det.ann_file.startswith("/a/annotations/")


def test_a_retriever_s_gallery_goes_where_its_queries_go(tmp_path: Path):
    lines = ["2", "image_name item_id evaluation_status"]
    lines += [f"img/{i}.jpg    id_0000000{i}    gallery" for i in range(2)]
    (tmp_path / "Eval").mkdir()
    (tmp_path / "Eval" / "list_eval_partition.txt").write_text("\n".join(lines))
    cfg = Config(named())
    cfg.pop("backbone")
    name = "mmpretrain::arcface/resnet50-arcface_8xb32_inshop.py"
    entry = dict(config=name, data_root=str(tmp_path), num_workers=0)
    cfg.tasks = dict(shop=entry)
    full = expand(cfg)
    assert full.val_dataloader.shop.dataset.data_root == str(tmp_path)
    with DefaultScope.overwrite_default_scope("gppf_mm"):
        loader = Runner.build_dataloader(deepcopy(full.model.tasks.shop.prototype))
    assert len(loader.dataset) == 2
    assert loader.num_workers == 0
    assert "prefix" in full.model.tasks.shop.image_encoder[0].init_cfg


def test_a_lazy_recipe_keeps_its_evaluation(tmp_path: Path):
    text = (
        "from mmengine.runner import TestLoop, ValLoop\n"
        "from mmpretrain.models import ImageClassifier\n"
        "model = dict(type=ImageClassifier)\n"
        "train_dataloader = dict(batch_size=2)\n"
        "val_dataloader = dict(batch_size=2)\nval_evaluator = dict(type='Accuracy')\n"
        "test_dataloader, test_evaluator = val_dataloader, val_evaluator\n"
        "val_cfg, test_cfg = dict(type=ValLoop), dict(type=TestLoop)\n"
    )
    (tmp_path / "lazy.py").write_text(text)
    cfg = Config(named())
    cfg.pop("backbone")
    cfg.tasks = dict(cls=dict(config=str(tmp_path / "lazy.py"), scope="mmpretrain"))
    full = expand(cfg)
    assert set(full.val_dataloader) == set(full.test_evaluator) == {"cls"}


@pytest.mark.parametrize("key", ["val_dataloader", "val_cfg"])
def test_a_run_without_validation(key: str):
    full = expand(Config(named(**{key: None})))
    assert [full[f"val_{part}"] for part in ("dataloader", "cfg", "evaluator")] == [
        None,
        None,
        None,
    ]
    assert set(full.test_dataloader) == {"det", "seg", "cls"}
    require_stage(full, "train")
    with pytest.raises(ValueError, match="both `tasks` and `val_evaluator`"):
        expand(Config(named(val_dataloader=None, val_evaluator=dict(type="X"))))


def test_a_backbone_of_one_s_own_is_imported_before_it_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "one_s_own_net.py").write_text(
        "from mmpretrain.models import ResNet\n"
        "from mmpretrain.registry import MODELS\n"
        "@MODELS.register_module(force=True)\nclass OnesOwnNet(ResNet):\n    pass\n"
    )
    cfg = load_recipe(CLS).cfg
    cfg.model.backbone.type = "OnesOwnNet"
    cfg.dump(tmp_path / "own.py")
    wanted = Config(named())
    wanted.tasks = dict(cls=dict(config=str(tmp_path / "own.py"), scope="mmpretrain"))
    message = r"`model\.backbone\.type` of task 'cls' is 'OnesOwnNet'.*`custom_imports`"
    with pytest.raises(ValueError, match=message):
        expand(wanted)
    wanted.tasks.cls.cfg_options = {"custom_imports": dict(imports="one_s_own_nets")}
    message = r"`custom_imports` of `tasks\.cls` cannot be imported.*one_s_own_nets"
    with pytest.raises(ValueError, match=message):
        expand(wanted)
    wanted.tasks.cls.cfg_options = {"custom_imports.imports": ["one_s_own_net"]}
    assert expand(wanted).model.tasks.cls.backbone.type == "mmpretrain.ResNet"


def test_a_data_root_that_would_replace_nothing():
    cfg = Config(named())
    cfg.tasks = dict(
        cls=dict(config="mmpretrain::lenet/lenet5_mnist.py", data_root="/x")
    )
    with pytest.raises(ValueError, match=r"`tasks\.cls\.data_root`: no data set of "):
        expand(cfg)


def test_default_hooks_may_be_none():
    assert expand(Config(named(default_hooks=None))).default_hooks.checkpoint


def test_a_preprocessor_beside_the_model_is_overridden_under_a_common_backbone():
    cfg = Config(named())
    cfg.tasks.cls.cfg_options = {"data_preprocessor.num_classes": 7}
    assert expand(cfg).model.tasks.cls.data_preprocessor.num_classes == 7


def test_options_of_the_model_go_along():
    cfg = Config(named())
    cfg.model = dict(weighting=dict(type="UW"), max_nonfinite=3)
    full = expand(cfg)
    assert full.model.weighting.type == "UW"
    assert full.model.max_nonfinite == 3
    assert set(full.model.tasks) == set(cfg.tasks)


def test_optimizer_rules_of_a_recipe_are_kept():
    cfg = Config(named())
    cfg.pop("backbone")
    swin = "mmpretrain::swin_transformer/swin-tiny_16xb64_in1k.py"
    cfg.tasks = dict(cls=dict(config=swin))
    rules = expand(cfg).optim_wrapper.paramwise_cfg.tasks.cls
    assert rules.paramwise_cfg == load_recipe(swin).cfg.optim_wrapper.paramwise_cfg


def test_rules_for_the_router_go_beside_those_of_recipes():
    cfg = Config(named())
    cfg.pop("backbone")
    name = "mmdet::detr/detr_r50_8xb2-150e_coco.py"
    cfg.tasks = dict(det=dict(config=name))
    cfg.optim_wrapper = dict(
        type="OptimWrapper",
        constructor="gppf_mm.MultiTaskOptimWrapperConstructor",
        optimizer=dict(type="AdamW", lr=1e-3),
        paramwise_cfg=dict(router=dict(lr=0.01), tasks=dict(det=dict(decay_mult=0.5))),
    )
    found = expand(cfg).optim_wrapper.paramwise_cfg
    assert found.router.lr == 0.01
    theirs = load_recipe(name).cfg.optim_wrapper.paramwise_cfg
    assert found.tasks.det == dict(paramwise_cfg=theirs, decay_mult=0.5)


def test_a_config_need_not_be_a_file_any_more(tmp_path: Path, monkeypatch: Any):
    text = Config(named()).pretty_text
    assert expand(Config.fromstring(text, ".py")).model.type == "gppf_mm.GPPF"
    (tmp_path / "mine.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    cfg = Config.fromfile("mine.py")
    monkeypatch.chdir("/")
    # A run writes it under this name at every start.
    assert Path(expand(cfg).filename).name == "mine.py"


def test_rules_of_a_recipe_are_overridden_in_either_form():
    rules = dict(norm_decay_mult=0.0)
    for options in (
        {"optim_wrapper.paramwise_cfg": rules},
        dict(optim_wrapper=dict(paramwise_cfg=rules)),
    ):
        cfg = Config(named())
        cfg.tasks.det.cfg_options = options
        assert expand(cfg).optim_wrapper.paramwise_cfg.tasks.det.paramwise_cfg == rules


def test_options_work_before_and_after_expansion(tmp_path: Path):
    file = tmp_path / "named.py"
    Config(named()).dump(file)
    cfg = load_config(
        file,
        {
            "tasks.det.batch_size": 3,
            "train_dataloader.seg.batch_size": 4,
            "train_cfg.max_iters": 50,
            "optim_wrapper.optimizer.lr": 1.0,
        },
    )
    assert cfg.train_dataloader.det.batch_size == 3
    assert cfg.train_dataloader.seg.batch_size == 4
    warm_up, fall = cfg.param_scheduler
    assert warm_up.end == fall.begin
    assert fall.begin + fall.T_max == 50
    assert cfg.optim_wrapper.optimizer.lr == 1.0
    assert cfg.optim_wrapper.optimizer.type == "AdamW"


@pytest.mark.parametrize("max_iters", [1, 5, 50])
def test_the_default_schedule_warms_up_and_falls(max_iters: int):
    full = expand(Config(named(train_cfg=dict(max_iters=max_iters))))
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.ones(1))], lr=1.0)
    # The runner lets schedules end with the run.
    given = dict(optimizer=optimizer, end=max_iters)
    schedulers = [
        PARAM_SCHEDULERS.build(deepcopy(item), default_args=given)
        for item in full.param_scheduler
    ]
    rates = []
    for _ in range(max_iters):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
    # A single step has no schedule.
    assert rates[0] == pytest.approx(1.0 if max_iters == 1 else 0.001)
    if max_iters == 50:
        assert max(rates) > 0.99
        assert rates[-1] < 0.01


def test_what_is_left_behind_is_named(monkeypatch: pytest.MonkeyPatch):
    said: list[str] = []
    monkeypatch.setattr(
        "gppf_mm.recipes.cautions.print_log", lambda text, **_: said.append(text)
    )
    cfg = Config(named())
    cfg.pop("backbone")
    cfg.tasks = dict(det=dict(config="mmdet::yolox/yolox_tiny_8xb8-300e_coco.py"))
    full = expand(cfg)
    assert "YOLOXModeSwitchHook" in said[0]
    assert "EMAHook" in said[0]
    assert not full.get("custom_hooks")


def test_a_hook_of_one_task_goes_along():
    cfg = Config(named())
    cfg.pop("backbone")
    name = "mmpretrain::arcface/resnet50-arcface_8xb32_inshop.py"
    cfg.tasks = dict(shop=dict(config=name))
    hooks = expand(cfg).custom_hooks
    assert [hook.hook.type for hook in hooks] == ["PrepareProtoBeforeValLoopHook"]
    assert hooks[0].task == "shop"


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda c: c.__setitem__("tasks", {}), r"`tasks` is \{\}"),
        (lambda c: c.tasks.det.pop("config"), r"`tasks\.det` is .* `config`"),
        (
            lambda c: c.tasks.det.update(batchsize=3),
            r"`tasks\.det` has an unknown key 'batchsize'.*'batch_size'",
        ),
        (lambda c: c.tasks.det.update(batch_size=0), r"`tasks\.det\.batch_size` is 0"),
        (lambda c: c.pop("lego"), r"`tasks` and no `lego`"),
        (lambda c: c.update(model="x"), r"both `tasks` and `model`"),
        (lambda c: c.update(model=dict(type="X")), r"both `tasks` and `model\.type`"),
        (
            lambda c: c.tasks.update({"a.b": dict(config=DET)}),
            r"a task named 'a\.b'",
        ),
        (
            lambda c: c.tasks.det.update(
                config="mmpretrain::sam/vit-base-p16_sam_headless.py"
            ),
            r"no `train_dataloader`",
        ),
        (
            lambda c: (
                c.update(optim_wrapper=dict(paramwise_cfg=dict(norm_decay_mult=0))),
                c.tasks.det.update(lr_mult=2),
            ),
            r"`tasks\.det` has `lr_mult`.*`optim_wrapper\.paramwise_cfg`",
        ),
        (
            lambda c: c.update(model=dict(lego=dict(num_units=2))),
            r"`model\.lego`.*Write `lego` beside `tasks`",
        ),
        (
            lambda c: c.tasks.det.update(cfg_options={"optim_wrapper.optimizer.lr": 1}),
            r"`tasks\.det\.cfg_options` has 'optim_wrapper\.optimizer\.lr'.*nothing",
        ),
        (
            lambda c: c.tasks.det.update(cfg_options=dict(default_scope="mmseg")),
            r"`tasks\.det\.cfg_options` has 'default_scope'.*`tasks\.det\.scope`",
        ),
        (
            lambda c: c.tasks.det.update(cfg_options=dict(optim_wrapper=dict(lr=1))),
            r"`tasks\.det\.cfg_options` has 'optim_wrapper\.lr'",
        ),
        (
            lambda c: c.tasks.det.update(cfg_options={"train_dataloder.batch_size": 1}),
            r"Did you mean 'train_dataloader'",
        ),
        (
            lambda c: c.tasks.det.update(
                cfg_options={"train_dataloader.dataset.pipeline.9.type": "X"}
            ),
            r"`tasks\.det\.cfg_options` does not fit.*retinanet",
        ),
        (
            lambda c: c.__setitem__("train_cfg", dict(max_epochs=12)),
            r"`train_cfg` has max_epochs; expected `max_iters`",
        ),
        (
            lambda c: c.__setitem__("train_cfg", dict(max_iter=12)),
            r"`train_cfg` has max_iter; expected `max_iters`",
        ),
    ],
)
def test_mistakes(edit: Any, message: str):
    cfg = Config(named())
    edit(cfg)
    with pytest.raises(ValueError, match=message):
        expand(cfg)


def test_parts_that_are_no_dict_are_refused_by_the_key_that_the_user_wrote():
    cfg = Config(named())
    cfg.tasks.det.parts = "encoder"
    with pytest.raises(TypeError, match=r"`tasks\.det\.parts` is 'encoder'.*dict\("):
        expand(cfg)


def test_a_model_that_cannot_be_built_names_its_task():
    cfg = Config(named())
    cfg.tasks.det.cfg_options = {"model.bbox_head.num_clases": 3}
    message = r"`model\.tasks\.det` cannot be built: TypeError:.*num_clases"
    with pytest.raises(ValueError, match=message):
        build(expand(cfg))


def test_a_teacher_whose_config_is_not_there_names_the_task():
    cfg = Config(named())
    cfg.tasks = dict(
        det=dict(
            config="mmdet::ld/ld_r18-gflv1-r101_fpn_1x_coco.py",
            cfg_options={"model.teacher_ckpt": None},
        )
    )
    message = r"`model\.tasks\.det` cannot be built: FileNotFoundError:.*gfl_r101_fpn"
    with pytest.raises(ValueError, match=message):
        build(expand(cfg))


def test_an_error_without_words_names_its_task_too():
    cfg = Config(named())
    cfg.tasks = dict(det=dict(config="mmdet::ssd/ssd300_coco.py"))
    message = (
        r"`model\.tasks\.det` cannot be built: AssertionError: assert .*`backbone`"
    )
    with pytest.raises(ValueError, match=message):
        build(expand(cfg))
