"""Write curves, configs and validation clips of a run to files, TensorBoard, Weights & Biases and MLflow."""

from .mlflow_backend import MLflowBackend
from .run_visualizer import RunVisualizer
from .tracker import Tracker
from .wandb_backend import WandbBackend

__all__ = ['MLflowBackend', 'RunVisualizer', 'Tracker', 'WandbBackend']
