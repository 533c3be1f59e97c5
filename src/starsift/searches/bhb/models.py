"""Names of the models of Tables 5 to 8 (Wei et al. 2023), for rules and settings too: nothing is imported."""

ENCODERS = ("spectrum", "spectrum-plain", "image", "image-plain")
TRANSFORMERS = ("transformer-spectrum", "transformer", "transformer-sem", "transformer-ca", "batmm")
FUSIONS = ("add", "concat", "vgg1d", *TRANSFORMERS)
END_TO_END = "batmm-end-to-end"
NETWORKS = (*ENCODERS, *FUSIONS, END_TO_END)
BASELINES = ("svm", "trees")
