from .calibration.result import Calibration as Calibration
from .cosmology import Cosmology as Cosmology
from .errors import InputError as InputError
from .estimators.posterior import Prediction as Prediction
from .face.calibration import calibrate as calibrate
from .face.rates import rate as rate
from .face.runs import Run as Run
from .face.runs import benchmark as benchmark
from .face.runs import explain as explain
from .face.surveys import export as export
from .face.surveys import validate as validate
from .face.training import train as train
from .face.transfer import transfer as transfer
from .inference.masses import Masses as Masses
from .inference.predict import load_model as load_model
from .inference.predict import predict as predict
from .survey.catalog import open_survey as open_survey
from .survey.event_survey import ingest as ingest
from .survey.mock import simulate as simulate

__version__: str
__all__: list[str]
