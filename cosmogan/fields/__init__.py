"""Density fields on disk: the contract (`layout`), reading and writing (`store`), a look (`describe`)."""
