"""Fused models in testing."""

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmtsf.deploy.fuse import fuse
from mmtsf.engine.runner.bare_model import bare_model
from mmtsf.registry import HOOKS


@HOOKS.register_module()
class FuseHook(Hook):
    """Fuse the model when a test begins, see :func:`mmtsf.deploy.fuse.fuse`; for runners that will not train."""

    def before_test(self, runner: Runner) -> None:
        fuse(bare_model(runner))
