from starsift.api import build_bank as build_bank
from starsift.api import find_components as find_components
from starsift.api import read_table as read_table
from starsift.catalog.publish import to_astropy as to_astropy
from starsift.errors import InputError as InputError
from starsift.errors import ResultsError as ResultsError
from starsift.errors import SettingsError as SettingsError
from starsift.errors import StarsiftError as StarsiftError
from starsift.errors import TrainingError as TrainingError
from starsift.searches.mstars.indices import measure_indices as measure_indices
from starsift.spectra.batches import SpectrumBatch as SpectrumBatch
from starsift.spectra.ccf import correlate as correlate
from starsift.spectra.reading import read_spectra as read_spectra
from starsift.spectra.templates import load_grid as load_grid

__version__: str
