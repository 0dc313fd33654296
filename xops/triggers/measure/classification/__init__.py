"""What a merged pull request counts as: which of its paths are infrastructure code, and whose work.

`Classifier` judges by the path first, and by content only where the path is open. `bucket` says
where a pull request is counted.
"""

from xops.triggers.measure.classification.buckets import bucket, deciding_paths
from xops.triggers.measure.classification.classifier import Classifier, Matched, Tree
from xops.triggers.measure.classification.kinds import Excluded, Judgement, Kind

__all__ = [
    "Classifier", "Excluded", "Judgement", "Kind", "Matched", "Tree", "bucket", "deciding_paths",
]  # fmt: skip
