# Written by make index.

from unmask.data.curricula.base import CURRICULA as CURRICULA
from unmask.data.curricula.base import Curriculum as Curriculum
from unmask.data.curricula.difficulty import difficulties as difficulties
from unmask.data.curricula.difficulty import into_buckets as into_buckets
from unmask.data.curricula.laws import Balanced as Balanced
from unmask.data.curricula.laws import Classic as Classic
from unmask.data.curricula.laws import Cosine as Cosine
from unmask.data.curricula.laws import Gaussian as Gaussian
from unmask.data.curricula.sampler import CurriculumSampler as CurriculumSampler
