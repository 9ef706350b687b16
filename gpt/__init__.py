"""A GPT library and command line, built only on the public names of `tinygrad_lite`."""
