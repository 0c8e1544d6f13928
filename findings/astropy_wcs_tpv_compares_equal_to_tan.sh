#!/bin/sh
# A WCS with TPV distortion says that it is a plain TAN without distortion, and equals one that is half an arcsecond away.
#
# CTYPE "RA---TPV" with PVi_j cards is what SCAMP writes and what ZTF's images have. astropy 8.0.2 computes with it rightly. But wcslib takes the distortion apart from the rest when
# the header is read: `wcs.wcs.ctype` is "RA---TAN", `wcs.wcs.get_pv()` is empty, `wcs.has_distortion` is False (for SIP it is True). `Wcsprm` objects are compared
# without it, so `wcs.wcs == other.wcs` and `wcs.wcs.compare(other.wcs)` are True for a TPV and for the TAN that remains when its PV cards are left out.
# What follows: no look at `ctype`, `has_distortion` or `==` tells whether two images share a WCS or whether a linear copy will do. A WCS made of ctype, crval, crpix
# and cd loses the distortion in silence. Compare `to_header()`, which has TPV and all cards, or a few positions; copy by `deepcopy()`.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/python" -m pip install --quiet astropy==8.0.2 numpy==2.4.6
cd "$work"
"$work/env/bin/python" - <<'PY'
from astropy.io import fits
from astropy.wcs import WCS

LINEAR = {
    "NAXIS": 2, "NAXIS1": 3072, "NAXIS2": 3080, "CUNIT1": "deg", "CUNIT2": "deg", "CRPIX1": 1536.5, "CRPIX2": 1540.5,
    "CRVAL1": 23.35, "CRVAL2": 30.92, "CD1_1": -2.8125e-4, "CD1_2": 1.4e-6, "CD2_1": -1.3e-6, "CD2_2": -2.8126e-4,
}
PV = {"PV1_1": 1.0, "PV1_4": -4.6e-4, "PV1_6": -2.6e-4, "PV2_1": 1.0, "PV2_4": -5.4e-4, "PV2_6": -2.1e-4}
SIP = {"A_ORDER": 2, "A_2_0": 1e-7, "B_ORDER": 2, "B_2_0": 1e-7}


def read(projection, **cards):
    return WCS(fits.Header({**LINEAR, "CTYPE1": f"RA---{projection}", "CTYPE2": f"DEC--{projection}", **cards}))


tpv, tan, sip = read("TPV", **PV), read("TAN"), read("TAN-SIP", **SIP)
apart = tpv.pixel_to_world(0, 0).separation(tan.pixel_to_world(0, 0)).arcsec
print(f"TPV: ctype {list(tpv.wcs.ctype)}, PV {tpv.wcs.get_pv()}, has_distortion {tpv.has_distortion} (SIP: {sip.has_distortion})")
print(f"TPV and TAN: == {tpv.wcs == tan.wcs}, compare {tpv.wcs.compare(tan.wcs)}, pixel (0, 0) is {apart:.3f} arcsec apart")
assert list(tpv.wcs.ctype) == ["RA---TAN", "DEC--TAN"] and not tpv.wcs.get_pv()
assert not tpv.has_distortion and sip.has_distortion
assert tpv.wcs == tan.wcs and tpv.wcs.compare(tan.wcs) and apart > 0.3

copied = WCS(naxis=2)
for name in ("ctype", "crval", "crpix", "cd"):
    setattr(copied.wcs, name, getattr(tpv.wcs, name))
lost = tpv.pixel_to_world(0, 0).separation(copied.pixel_to_world(0, 0)).arcsec
kept = tpv.pixel_to_world(0, 0).separation(tpv.deepcopy().pixel_to_world(0, 0)).arcsec
header = tpv.to_header()
print(f"copied by attributes: {lost:.3f} arcsec off; by deepcopy: {kept:.3f}; header: {header['CTYPE1']}, {sum(k.startswith('PV') for k in header)} PV cards")
assert lost > 0.3 and kept < 1e-6 and header["CTYPE1"] == "RA---TPV"
PY
echo "as described"
