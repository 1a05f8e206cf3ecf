"""Publishing: the model card, the files that go to the Hub, and the push itself.

Every huggingface_hub call of a push is in `hub`. No widgets and no training code belong here.
"""
