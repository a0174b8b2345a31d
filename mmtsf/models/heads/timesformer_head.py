"""Classification head."""

import torch
import torch.nn.functional as F
from mmaction.models.heads import BaseHead
from mmengine.model.weight_init import trunc_normal_init
from torch import Tensor, nn

from mmtsf.registry import MODELS
from mmtsf.utils.ranking import ranks_of


@MODELS.register_module()
class TimeSformerHead(BaseHead):
    """Linear classifier over a clip's feature (released code), or the paper's MLP with one hidden layer.

    Args:
        num_classes (int): Number K of classes, at least 2.
        in_channels (int): Width C of the feature.
        hidden_channels (int, optional): Width of a hidden layer with GELU (section 3.3 of the paper). Defaults to
            None: one linear layer, as in the released code.
        dropout_ratio (float): Dropout before the classifier. Defaults to 0.
        init_std (float): Standard deviation of the initial weights. Defaults to 0.02.
        loss_cls (dict, optional): Config of the loss. Defaults to None: cross entropy, or with ``multi_class`` binary
            cross entropy.
        multi_class (bool): Whether a video may have several labels, given as 0 and 1 for each class. Defaults to False.
        label_smooth_eps (float): Label smoothing. Defaults to 0.
        average_clips (str, optional): How views are combined in testing: ``'prob'``, the mean of the softmax (paper),
            or of the sigmoid with ``multi_class``; ``'score'``, the mean of the logits, which ranks as their sum
            (released code); None keeps the views' logits. Defaults to ``'prob'``.
        init_cfg (dict, optional): MMEngine's initialisation config. Defaults to None.

    Raises:
        ValueError: If there are fewer classes, or views are to be combined in another way.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        hidden_channels: int | None = None,
        dropout_ratio: float = 0.0,
        init_std: float = 0.02,
        loss_cls: dict | None = None,
        multi_class: bool = False,
        label_smooth_eps: float = 0.0,
        average_clips: str | None = 'prob',
        init_cfg: dict | None = None,
    ) -> None:
        if average_clips not in ('prob', 'score', None):
            raise ValueError(f"average_clips is {average_clips!r}, expected 'prob', 'score' or None")
        if num_classes < 2:
            raise ValueError(
                f'num_classes is {num_classes}, expected 2 or more, as there must be something to tell apart; add '
                'videos without the class as a class of their own, and set data.num_classes'
            )
        super().__init__(
            num_classes,
            in_channels,
            loss_cls or dict(type='BCELossWithLogits' if multi_class else 'CrossEntropyLoss'),
            multi_class=multi_class,
            label_smooth_eps=label_smooth_eps,
            topk=(1, 5) if num_classes > 5 else (1,),
            average_clips=average_clips,
            init_cfg=init_cfg,
        )
        self.names_loss = loss_cls is not None
        hidden = [] if hidden_channels is None else [nn.Linear(in_channels, hidden_channels), nn.GELU()]
        self.init_std = init_std
        self.hidden = nn.Sequential(*hidden, nn.Dropout(dropout_ratio))
        self.fc_cls = nn.Linear(hidden_channels or in_channels, num_classes)

    def init_weights(self) -> None:
        """Truncated normal weights, zero biases."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                trunc_normal_init(module, std=self.init_std)

    def forward(self, feats: Tensor, **_) -> Tensor:
        """Logits ``(B, K)`` of features ``(B, C)``; what the recognizer adds for other heads is not used."""
        return self.fc_cls(self.hidden(feats)).float()  # losses and metrics need more than autocast's bfloat16

    def loss_by_feat(self, cls_scores: Tensor, data_samples: list) -> dict[str, Tensor]:
        """MMAction2's loss and accuracies of the logits ``(B, K)``, without waiting for a GPU as NumPy does."""
        labels = torch.stack([sample.gt_labels.item for sample in data_samples]).to(
            cls_scores.device, non_blocking=True
        )
        losses = {}
        if labels.shape != cls_scores.shape:
            labels = labels.squeeze(1)
            ranks = ranks_of(cls_scores.detach(), labels)
            losses = {f'top{k}_acc': (ranks < k).double().mean() for k in self.topk}
            if self.label_smooth_eps:
                labels = F.one_hot(labels, self.num_classes)
        if self.label_smooth_eps:
            labels = (1 - self.label_smooth_eps) * labels + self.label_smooth_eps / self.num_classes
        loss = self.loss_cls(cls_scores, labels)
        return losses | (loss if isinstance(loss, dict) else dict(loss_cls=loss))

    def predict_by_feat(self, cls_scores: Tensor, data_samples: list) -> list:
        """MMAction2's scores of each video, which say how its views were combined: whether they are logits."""
        for sample in data_samples:
            sample.set_metainfo(dict(average_clips=self.average_clips))
        return super().predict_by_feat(cls_scores, data_samples)

    def average_clip(self, cls_scores: Tensor, num_segs: int = 1) -> Tensor:
        """Scores ``(videos, K)`` of the logits ``(videos * num_segs, K)`` of their views."""
        if self.multi_class and self.average_clips == 'prob':
            return cls_scores.sigmoid().unflatten(0, (-1, num_segs)).mean(dim=1)
        return super().average_clip(cls_scores, num_segs)
