"""A stack that goes elsewhere: the bundle, and its way to a target and back."""
