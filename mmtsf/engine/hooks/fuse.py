"""Fused models in testing."""

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmtsf.deploy.fuse import fuse
from mmtsf.engine.runner.bare_model import bare_model
from mmtsf.models import TimeSformer
from mmtsf.registry import HOOKS

#: Batches of a test for which compiling, some ten seconds, pays
LONG = 200


@HOOKS.register_module()
class FuseHook(Hook):
    """Fuse the model when a test begins, see :func:`mmtsf.deploy.fuse.fuse`; for runners that will not train.

    On a GPU the blocks of a long test are compiled, too, unless the config says ``compiled=False``.
    """

    def before_test(self, runner: Runner) -> None:
        model = bare_model(runner)
        fuse(model)
        if isinstance(model.backbone, TimeSformer):
            model.backbone.runs_long = len(runner.test_dataloader) >= LONG
