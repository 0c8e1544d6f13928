#!/bin/sh
# pyvo cannot pick the row "#this" of a DataLink answer that it holds already, unless it reaches www.ivoa.net.
#
# pyvo 1.9.1 `DatalinkResults.bysemantics("#this")` first fetches the vocabulary datalink/core from www.ivoa.net, for the narrower terms of the one
# asked for, also where a row has the very word. Where that host is not reached (offline, behind a firewall, in a test) it raises VocabularyError,
# and `getdataset()` of a SIA or ObsCore row, which looks for "#this" so, raises it too instead of falling back to access_url as it does for other errors.
# `bysemantics("#this", include_narrower=False)`, or a look at each row's `semantics`, needs no vocabulary.
# What follows: a client script for an archive inside a closed network looks at `link.semantics` itself.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/python" -m pip install --quiet pyvo==1.9.1 astropy==8.0.2
cd "$work"
# nothing listens at this proxy: hosts other than this one are not reached; nor is a copy kept in a cache
export HOME="$work" XDG_CACHE_HOME="$work" http_proxy=http://127.0.0.1:9 https_proxy=http://127.0.0.1:9 no_proxy=127.0.0.1
"$work/env/bin/python" -W ignore - <<'PY'
import io

from astropy.io.votable import parse
from pyvo.dal.adhoc import DatalinkResults
from pyvo.utils.vocabularies import VocabularyError

TEXT = """<?xml version="1.0"?><VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE type="results">
<INFO name="standardID" value="ivo://ivoa.net/std/DataLink#links-1.1"/><TABLE>
<FIELD name="ID" datatype="char" arraysize="*" ucd="meta.id;meta.main"/>
<FIELD name="access_url" datatype="char" arraysize="*" ucd="meta.ref.url"/>
<FIELD name="semantics" datatype="char" arraysize="*" ucd="meta.code"/>
<DATA><TABLEDATA><TR><TD>ivo://a/b?1</TD><TD>http://127.0.0.1/1.fits</TD><TD>#this</TD></TR></TABLEDATA></DATA>
</TABLE></RESOURCE></VOTABLE>"""
links = DatalinkResults(parse(io.BytesIO(TEXT.encode())))
try:
    next(links.bysemantics("#this"))
    raise SystemExit("the row is found without the vocabulary now")
except VocabularyError as exc:
    print("bysemantics('#this'):", type(exc).__name__, str(exc)[:60])
row = next(links.bysemantics("#this", include_narrower=False))
print("include_narrower=False:", row.access_url)
assert row.access_url == "http://127.0.0.1/1.fits"
try:
    links.getdataset()
    raise SystemExit("getdataset() does without the vocabulary now")
except VocabularyError as exc:
    print("getdataset():", type(exc).__name__)
PY
echo "as described"
