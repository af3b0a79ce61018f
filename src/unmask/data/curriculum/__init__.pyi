# Written by make index.

from unmask.data.curriculum.base import CURRICULA as CURRICULA
from unmask.data.curriculum.base import Curriculum as Curriculum
from unmask.data.curriculum.difficulty import difficulties as difficulties
from unmask.data.curriculum.difficulty import into_buckets as into_buckets
from unmask.data.curriculum.laws import Balanced as Balanced
from unmask.data.curriculum.laws import Classic as Classic
from unmask.data.curriculum.laws import Cosine as Cosine
from unmask.data.curriculum.laws import Gaussian as Gaussian
from unmask.data.curriculum.sampler import CurriculumSampler as CurriculumSampler
