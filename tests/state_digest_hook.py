"""A hook that prints what a rank ends with, for the test of distributed runs."""

import hashlib
import sys

from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner


@HOOKS.register_module()
class StateDigestHook(Hook):
    """Prints a digest of the model's whole state after training."""

    def after_train(self, runner: Runner) -> None:
        digest = hashlib.sha256()
        for name, value in runner.model.module.state_dict().items():
            digest.update(name.encode())
            digest.update(value.cpu().numpy().tobytes())
        sys.stdout.write(f"\nrank {get_rank()} digest {digest.hexdigest()}\n")
        sys.stdout.flush()
