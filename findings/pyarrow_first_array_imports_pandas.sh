#!/bin/sh
# pyarrow imports pandas not when it is imported, but when the first value is converted: also of a list, a number or an array of numpy.
#
# With pyarrow 26.0.1 and pandas 3.1.1 in one environment, `import pyarrow` and `import pyarrow.parquet` leave pandas alone. The first `pyarrow.array` or `pyarrow.scalar` imports the whole of it,
# even for one float, and so does `pyarrow.parquet.read_table`. `ParquetFile.read` and `Array.from_buffers`, which convert no value of Python's, do without. Without pandas in the environment
# the same calls work just as well. Here it takes some 0.2 s of processor and 50 MB in each process.
# What follows: whoever looks at the modules after the imports, as tests of start-up do, sees nothing of it. Measure short processes that only write Arrow or Parquet after their first array.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/python" -m pip install --quiet pandas==3.1.1 pyarrow==26.0.1 numpy==2.4.6
cd "$work"
cat >made.py <<'PY'
import resource
import sys
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

CALLS = {
    "array of a list": lambda: pa.array([17.5, 18.0]),
    "array of numpy's": lambda: pa.array(np.array([17.5, 18.0])),
    "scalar": lambda: pa.scalar(17.5),
    "read_table": lambda: pq.read_table("two.parquet"),
    "ParquetFile.read": lambda: pq.ParquetFile("two.parquet").read(),
    "from_buffers": lambda: pa.Array.from_buffers(pa.float64(), 2, [None, pa.py_buffer(np.array([17.5, 18.0]))]),
}


def peak_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


assert "pandas" not in sys.modules, "imported with pyarrow"
if sys.argv[1] == "write":
    pq.write_table(pa.table({"mag": pa.array([17.5, 18.0])}), "two.parquet")
    sys.exit()
start, before = time.process_time(), peak_mb()
made = CALLS[sys.argv[1]]()
spent, grown = time.process_time() - start, peak_mb() - before
assert len(made) == 2 if sys.argv[1] != "scalar" else made.as_py() == 17.5
print(f"{sys.argv[1]:17} imports pandas: {'pandas' in sys.modules!s:5} {spent:.2f} s of processor, {grown:.0f} MB")
assert ("pandas" in sys.modules) == (sys.argv[2] == "True"), "this has changed"
PY
"$work/env/bin/python" made.py write
for call in "array of a list" "array of numpy's" "scalar" "read_table"; do "$work/env/bin/python" made.py "$call" True; done
for call in "ParquetFile.read" "from_buffers"; do "$work/env/bin/python" made.py "$call" False; done
"$work/env/bin/python" -m pip uninstall --quiet --yes pandas
echo "in an environment without pandas:"
for call in "array of a list" "read_table"; do "$work/env/bin/python" made.py "$call" False; done
echo "as described"
