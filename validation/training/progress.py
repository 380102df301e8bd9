"""Progress of a training on the terminal."""

from lightning.pytorch.callbacks import RichProgressBar


class NamedProgress(RichProgressBar):
    """A bar that says which network trains, and counts epochs from 1 to the last.

    Args:
        network: in words: "teacher", "student 3 of 14".
    """

    def __init__(self, network: str) -> None:
        super().__init__(console_kwargs={"stderr": True})
        self._network = network

    def _get_train_description(self, current_epoch: int) -> str:
        return f"{self._network}, epoch {current_epoch + 1} of {self.trainer.max_epochs}"
