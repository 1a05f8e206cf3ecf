"""The preset: one YAML file that holds a whole run. Here a parameter exists, once; everything else is derived.

No training code and no widgets belong here.
"""
