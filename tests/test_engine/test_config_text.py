from copy import deepcopy

from mmengine.config import Config

from gppf_mm.engine.runner import config_text
from gppf_mm.engine.runner.config_text import CachedTextConfig


def test_text_is_the_stock_text_and_follows_changes(monkeypatch):
    stock = Config(dict(model=dict(type="GPPF", tasks=dict(det=dict(depth=18)))))
    cached = deepcopy(CachedTextConfig.of(stock))
    assert cached.pretty_text == stock.pretty_text
    cached.model.tasks.det.depth = 50
    assert cached.pretty_text != stock.pretty_text
    stock.model.tasks.det.depth = 50
    assert cached.pretty_text == stock.pretty_text


def test_text_is_formatted_once(monkeypatch):
    calls = []

    def count(self: Config) -> str:
        calls.append(self)
        return "text"

    monkeypatch.setattr(config_text.Config, "pretty_text", property(count))
    cached = CachedTextConfig.of(Config(dict(a=1)))
    assert [cached.pretty_text, cached.pretty_text] == ["text", "text"]
    assert len(calls) == 1
