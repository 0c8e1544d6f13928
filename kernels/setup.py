"""Build the extension. It uses Python's stable ABI, so one wheel of a platform serves every Python from 3.11."""

import os
import tomllib
from pathlib import Path

from setuptools import Extension, setup

PROJECT = tomllib.loads(Path(__file__).with_name("pyproject.toml").read_text(encoding="utf-8"))["project"]
# Products are rounded before they are added, as in sep: a fused operation could move a subpixel to the other side.
UNIX = {"extra_compile_args": ["-O3", "-ffp-contract=off"], "libraries": ["m"]}

setup(
    ext_modules=[
        Extension(
            "ztfdb_kernels",
            ["ztfdb_kernels.c"],
            define_macros=[("VERSION", f'"{PROJECT["version"]}"')],
            py_limited_api=True,
            **({"extra_compile_args": ["/std:c11"]} if os.name == "nt" else UNIX),
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
