#!/bin/sh
# sep: with a segmentation map a mask that masks nothing changes fluxes, and without one the local background is too low.
#
# sep 1.4.1 hides the pixels of other objects from an aperture by `segmap` and `seg_id`, beside those of `mask`. How many are hidden is taken into account only where a mask was
# given, if only one that is False everywhere. Without it an aperture gets 0 for each pixel of a neighbour (with a mask: the mean of the others). The annulus of `bkgann` leaves the
# neighbours out of its sum but not out of its area, so that the background is too low by their share, and no flag tells: on a flat image of 10 per pixel, with a neighbour on 32 % of the
# annulus, a circle of radius 5 holds 249 above the background. With a mask of False it holds 0.
# What follows: give `mask=np.zeros(data.shape, bool)` together with every `segmap`.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/python" -m pip install --quiet sep==1.4.1 numpy==2.4.6
cd "$work"
"$work/env/bin/python" - <<'PY'
import numpy as np
import sep

SKY = 10.0
sky = np.full((61, 61), SKY)
segments = np.zeros(sky.shape, np.int32)
segments[25:36, 25:36] = 1
segments[:, 38:] = 2
nothing = np.zeros(sky.shape, bool)
whose = {"segmap": segments, "seg_id": np.array([1], np.int32)}
WAYS = {"neither": {}, "segmap": whose, "segmap, mask of False": whose | {"mask": nothing}, "mask of the neighbour": {"mask": segments == 2}}
annulus = np.hypot(*(np.indices(sky.shape) - 30.0))
annulus = (annulus > 10) & (annulus < 18)
print("sep", sep.__version__, f"share of the annulus hidden: {(segments[annulus] == 2).mean():.2f}")


def measured(measure, *shape, **options):
    """Flux and flag each way, of an aperture in the middle."""
    found = {}
    for name, way in WAYS.items():
        flux, _, flag = measure(sky, [30.0], [30.0], *shape, **way, **options)
        found[name] = float(flux[0]), int(flag[0])
        print(f"  {name}: flux {flux[0]:.1f}, flag {flag[0]}")
    return found


for name, measure, shape, rings in (("circle", sep.sum_circle, (5.0,), (10.0, 18.0)), ("ellipse", sep.sum_ellipse, (5.0, 4.0, 0.0, 1.0), (2.0, 3.6))):
    print(f"{name} on the sky, less the background of an annulus:")
    local = measured(measure, *shape, bkgann=rings)
    assert local["segmap"][0] > 100 and local["segmap"][1] == 0, "the hidden part of the annulus is taken into account now"
    assert all(abs(flux) < 1e-6 for way, (flux, _) in local.items() if way != "segmap")

print("circle that reaches into the neighbour:")
wide = measured(sep.sum_circle, 12.0)
assert wide["segmap"][0] < 0.9 * wide["neither"][0], "the segmentation map is corrected for now"
assert abs(wide["segmap, mask of False"][0] - wide["neither"][0]) < 1e-6
assert wide["segmap"][1] == wide["segmap, mask of False"][1] == sep.APER_HASMASKED
PY
echo "as described"
