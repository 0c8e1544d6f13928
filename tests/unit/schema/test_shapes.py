"""What is written down of tables is what their definitions say."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ztfdb.schema import Base
from ztfdb.schema.by_name import shape_of
from ztfdb.schema.describe import defined_shape
from ztfdb.schema.shapes import BLOBS, TRUTHS, WRITTEN_DOWN

TABLES = Base.metadata.tables


@pytest.mark.parametrize("name", WRITTEN_DOWN)
def test_a_shape_that_is_written_down_is_that_of_the_table(name):
    assert shape_of(name) == defined_shape(TABLES[name])
    assert list(shape_of(name).types) == list(TABLES[name].columns.keys())


def test_every_other_table_has_its_shape_too():
    for name, table in TABLES.items():
        assert shape_of(name) == defined_shape(table)


@pytest.mark.parametrize(("names", "kind"), [(BLOBS, "blob"), (TRUTHS, "bool")])
def test_blobs_and_truth_values_are_known_by_name(names, kind):
    shapes = [defined_shape(table) for table in TABLES.values()]
    assert names == {name for shape in shapes for name, own in shape.types.items() if own == kind}
    # a name means one kind of value in every table, as `ztfdb.store.type_checks.check_objects` takes it
    assert {shape.types[name] for shape in shapes for name in names & shape.types.keys()} == {kind}


def test_words_and_shapes_need_no_sqlalchemy_and_a_table_brings_all_of_them():
    code = (
        "import sys; from ztfdb.schema import describe_column; from ztfdb.schema.by_name import shape_of;"
        "describe_column('ra', 'cone'); shape_of('source'); print('sqlalchemy' in sys.modules);"
        "from ztfdb.schema import Image; print(len(Image.metadata.tables))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", str(len(TABLES))]
