"""The version: the build, `kd2m --version` and every record of a result read it here."""

__version__ = "0.2.0.dev0"
