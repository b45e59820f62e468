from mtl_cli.config.errors import UserError as UserError
from mtl_cli.estimator import MultiTaskEstimator as MultiTaskEstimator
from mtl_cli.interface import Run as Run
from mtl_cli.interface import TrainedModel as TrainedModel
from mtl_cli.interface import balancers as balancers
from mtl_cli.interface import load as load
from mtl_cli.interface import train as train
from mtl_cli.own_loop import TrainingStep as TrainingStep

__version__: str
