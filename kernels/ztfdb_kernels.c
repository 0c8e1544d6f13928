/* Sums of pixels in circles, under Gaussian windows and in ellipses: what ztfdb otherwise asks sep for.
 *
 * Buffers in, buffers out; the interpreter's lock is released while pixels are summed. Pixels are float32 of shape
 * (ny, nx), columns float64 of shape (n,); pixel (i, j) is the unit square around x = i, y = j. The definitions are
 * those of sep 1.4 and SExtractor 2.25 (manual, "Windowed positional parameters" and "Photometry"; Bertin & Arnouts
 * 1996, A&AS 117, 393; Kron 1980, ApJS 43, 305). Windows and ellipses take the same pixels and subpixels by the same
 * comparisons and add them in the same order: their results are sep's to the last bit. Circles have another formula for
 * the overlap and differ by rounding.
 */
#define Py_LIMITED_API 0x030b0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define INTERFACE 1 /* changes with the arguments of a function; ztfdb.extract.kernels asks for it */

#define QUARTER_PI 0.78539816339744830962
#define HALF_DIAGONAL 0.7072 /* of a pixel, rounded up */

typedef struct {
    const float *pixels;
    Py_ssize_t nx, ny;
} Image;

typedef struct {
    Py_ssize_t first, end; /* pixels first ... end - 1 */
    int cut;               /* by the edge of the image */
} Span;

/* Return the pixels of [0, n) that the interval centre ± reach touches (by at least 1e-7); none for NaN. */
static Span span(double centre, double reach, Py_ssize_t n)
{
    double low = trunc(centre - reach + 0.5), high = trunc(centre + reach + 1.4999999);
    Span s = {0, 0, !(low >= 0.0) || high > (double)n};

    if (low > 0.0)
        s.first = low < (double)n ? (Py_ssize_t)low : n;
    if (high > 0.0)
        s.end = high < (double)n ? (Py_ssize_t)high : n;
    return s;
}

#if defined(__GNUC__)
#define FETCH(address) __builtin_prefetch(address)
#define INLINE inline __attribute__((always_inline)) /* gcc drops calls of functions that only prefetch */
#else
#define FETCH(address) ((void)(address))
#define INLINE inline
#endif

/* Fetch the pixels around the next position while one is measured: rows of a large image are far apart in memory, and
 * waiting for them took half of the time. Both ends of a row: 32 pixels. */
static INLINE void fetch(const Image *im, double x, double y, double reach)
{
    Span sx = span(x, reach, im->nx), sy = span(y, reach, im->ny);

    for (Py_ssize_t j = sy.first; sx.first < sx.end && j < sy.end; j++) {
        FETCH(im->pixels + j * im->nx + sx.first);
        FETCH(im->pixels + j * im->nx + sx.end - 1);
    }
}

/* ---- circles, exact overlap ---- */

/* The integral of the half chord sqrt(r² - s²) from the centre of a circle to t, -r <= t <= r. */
static double half_segment(double t, double r)
{
    double q = t / r;
    return 0.5 * r * r * (q * sqrt((1.0 - q) * (1.0 + q)) + asin(q));
}

static double clamp(double value, double most)
{
    value = value < most ? value : most;
    return value > -most ? value : -most;
}

/* Area of a circle below the line y = v, between the lines x = at[i] and at[i + 1], for each i < n.
 *
 * The line y = v lies in the circle from -h to h, h its half chord. There the area grows by v + sqrt(r² - s²) with s,
 * outside by the whole chord 2 sqrt(r² - s²) if v > 0, or not at all. `half` are the half segments at `at`; the one at h
 * follows from that at v, as both angles make a right angle. */
static void areas_below(double v, double r, const double *restrict at, const double *restrict half, Py_ssize_t n,
                        double *restrict below)
{
    double u = clamp(fabs(v), r), h = sqrt((r - u) * (r + u)), at_h = QUARTER_PI * r * r + u * h - half_segment(u, r);

    for (Py_ssize_t i = 0; i < n; i++) {
        double width = clamp(at[i + 1], h) - clamp(at[i], h);
        double segment = clamp(half[i + 1], at_h) - clamp(half[i], at_h);
        double strip = 2.0 * (half[i + 1] - half[i]);

        below[i] = (v > 0.0 ? strip - segment : segment) + v * width;
    }
}

/* Sum the pixels in a circle; not finite if a pixel of its box is not. `work` has room for 4 rows of pixels and 2. */
static double circle_sum(const Image *im, double x, double y, double r, double *work)
{
    Span sx = span(x, r, im->nx), sy = span(y, r, im->ny);
    Py_ssize_t n = sx.end - sx.first;
    double *at = work, *half = at + im->nx + 1, *below = half + im->nx + 1, *above = below + im->nx, sum = 0.0;

    if (n <= 0)
        return 0.0;
    for (Py_ssize_t i = 0; i <= n; i++) {
        at[i] = (double)(sx.first + i) - x - 0.5;
        half[i] = half_segment(clamp(at[i], r), r);
    }
    areas_below((double)sy.first - y - 0.5, r, at, half, n, below);
    for (Py_ssize_t j = sy.first; j < sy.end; j++) {
        const float *row = im->pixels + j * im->nx + sx.first;
        double in_row = 0.0, *swap = below;

        areas_below((double)j - y + 0.5, r, at, half, n, above);
        for (Py_ssize_t i = 0; i < n; i++)
            in_row += row[i] * (above[i] - below[i]);
        sum += in_row;
        below = above;
        above = swap;
    }
    return sum;
}

/* ---- windowed positions ---- */

#define WINDOW_SIGMAS 4.0    /* radius of the window */
#define LEAST_SIGMA (2.0 / 2.35 * 0.5)
#define MOST_STEPS 16
#define SMALLEST_STEP 0.0001 /* pixels */

/* Offsets of a pixel's column or row from the centre of a window: of its middle, squared of its halves' middles. */
typedef struct {
    double middle, near2, far2;
} Slice;

static void slices(double centre, Span s, Slice *out)
{
    for (Py_ssize_t i = s.first; i < s.end; i++, out++) {
        double half = (double)i - centre - 0.25;

        out->middle = (double)i - centre;
        out->near2 = half * half;
        half += 0.5;
        out->far2 = half * half;
    }
}

/* Move a position to the windowed position; the rim of the window has 2 x 2 subpixels. */
static void window(const Image *im, double *x, double *y, double sigma, Slice *columns, Slice *rows)
{
    if (sigma < LEAST_SIGMA)
        sigma = LEAST_SIGMA;
    double r = WINDOW_SIGMAS * sigma, r2 = r * r, inverse = 1.0 / (2.0 * sigma * sigma);
    double outer = r + HALF_DIAGONAL, outer2 = outer * outer;

    for (int step = 0; step < MOST_STEPS; step++) {
        Span sx = span(*x, r, im->nx), sy = span(*y, r, im->ny);
        Py_ssize_t n = sx.end - sx.first;
        double light = 0.0, dx = 0.0, dy = 0.0;

        slices(*x, sx, columns);
        slices(*y, sy, rows);
        for (Py_ssize_t j = sy.first; j < sy.end; j++) {
            const float *pixels = im->pixels + j * im->nx + sx.first;
            const Slice *row = rows + (j - sy.first);

            for (Py_ssize_t i = 0; i < n; i++) {
                const Slice *c = columns + i;
                double distance2 = c->middle * c->middle + row->middle * row->middle;

                if (!(distance2 < outer2))
                    continue;
                int inside = (c->near2 + row->near2 < r2) + (c->far2 + row->near2 < r2) +
                             (c->near2 + row->far2 < r2) + (c->far2 + row->far2 < r2);
                double weight = inside ? exp(-distance2 * inverse) : 1.0; /* exp takes the time */
                double value = pixels[i] * (0.25 * inside) * weight;
                light += value;
                dx += value * c->middle;
                dy += value * row->middle;
            }
        }
        if (!(light > 0.0))
            return;
        dx /= light;
        dy /= light;
        *x += 2.0 * dx; /* the window halves the offset of a Gaussian */
        *y += 2.0 * dy;
        if (dx * dx + dy * dy < SMALLEST_STEP * SMALLEST_STEP)
            return;
    }
}

/* ---- ellipses ---- */

/* cxx dx² + cyy dy² + cxy dx dy is the squared distance in units of the half axes. */
typedef struct {
    double xx, yy, xy;
} Ellipse;

static Ellipse ellipse(double a, double b, double theta)
{
    double c = cos(theta), s = sin(theta);
    Ellipse e = {c * c / (a * a) + s * s / (b * b), s * s / (a * a) + c * c / (b * b),
                 2.0 * c * s * (1.0 / (a * a) - 1.0 / (b * b))};
    return e;
}

/* Half the width and height of an ellipse are r over the roots of these. */
static double reach(double own, double other, double cross, double r)
{
    double across = own - cross * cross / (4.0 * other);
    return across > 0.0 ? r / sqrt(across) : 0.0;
}

/* First moment of the light in an ellipse of r half axes over the light, or 0 if either is not positive. */
static double first_moment(const Image *im, double x, double y, Ellipse e, double r)
{
    Span sx = span(x, reach(e.xx, e.yy, e.xy, r), im->nx), sy = span(y, reach(e.yy, e.xx, e.xy, r), im->ny);
    double r2 = r * r, light = 0.0, moment = 0.0;

    for (Py_ssize_t j = sy.first; j < sy.end; j++) {
        const float *row = im->pixels + j * im->nx;
        double dy = (double)j - y, yy = e.yy * dy * dy;

        for (Py_ssize_t i = sx.first; i < sx.end; i++) {
            double dx = (double)i - x, distance2 = e.xx * dx * dx + yy + e.xy * dx * dy;

            if (distance2 <= r2 && !(row[i] < -1e30f)) { /* sep's mark of a pixel without a value */
                light += row[i];
                moment += sqrt(distance2) * row[i];
            }
        }
    }
    return light <= 0.0 || moment <= 0.0 ? 0.0 : moment / light;
}

#define SIDE 5 /* subpixels */

/* Count the subpixels of a pixel that are inside an ellipse: the terms of its equation by column and row. */
static int count_inside(const double *square, const double *cross, const double *yy, const double *dy, double r2)
{
    int count = 0;

    for (int k = 0; k < SIDE; k++)
        for (int m = 0; m < SIDE; m++)
            count += square[m] + yy[k] + cross[m] * dy[k] < r2;
    return count;
}

/* Sum the pixels in an ellipse of r half axes, its rim with 5 x 5 subpixels; tell whether the image's edge cuts it. */
static double ellipse_sum(const Image *im, double x, double y, Ellipse e, double b, double r, double *square,
                          double *cross, double *cut)
{
    Span sx = span(x, reach(e.xx, e.yy, e.xy, r), im->nx), sy = span(y, reach(e.yy, e.xx, e.xy, r), im->ny);
    Py_ssize_t n = sx.end - sx.first;
    double r2 = r * r, inner = r - HALF_DIAGONAL / b, outer = r + HALF_DIAGONAL / b, sum = 0.0;
    double inner2 = inner > 0.0 ? inner * inner : 0.0, outer2 = outer * outer;
    double step = 1.0 / SIDE, start = 0.5 * (step - 1.0), share[SIDE * SIDE + 1] = {0.0};

    *cut = sx.cut || sy.cut;
    for (int k = 0; k < SIDE * SIDE; k++) /* of a pixel by the number of its subpixels, added one by one */
        share[k + 1] = share[k] + step * step;
    for (Py_ssize_t i = 0; i < n; i++) {
        double offset = (double)(sx.first + i) - x + start;

        for (int k = 0; k < SIDE; k++, offset += step) {
            square[SIDE * i + k] = e.xx * offset * offset;
            cross[SIDE * i + k] = e.xy * offset;
        }
    }
    for (Py_ssize_t j = sy.first; n > 0 && j < sy.end; j++) {
        const float *row = im->pixels + j * im->nx + sx.first;
        double dy = (double)j - y, yy = e.yy * dy * dy, offset = dy + start, sub_dy[SIDE], sub_yy[SIDE];

        for (int k = 0; k < SIDE; k++, offset += step) {
            sub_dy[k] = offset;
            sub_yy[k] = e.yy * (offset * offset);
        }
        for (Py_ssize_t i = 0; i < n; i++) {
            double dx = (double)(sx.first + i) - x, distance2 = e.xx * dx * dx + yy + e.xy * dx * dy;

            if (distance2 > inner2 && distance2 < outer2)
                sum += row[i] * share[count_inside(square + SIDE * i, cross + SIDE * i, sub_yy, sub_dy, r2)];
            else if (distance2 <= inner2)
                sum += row[i];
        }
    }
    return sum;
}

/* ---- Python ---- */

#define MOST 10

/* The arrays of a call, in the order of its arguments. */
typedef struct {
    Py_buffer view[MOST];
    int taken;
    Image image;
    Py_ssize_t n, n_radius;
} Arrays;

static void give_back(Arrays *a)
{
    while (a->taken > 0)
        PyBuffer_Release(&a->view[--a->taken]);
}

/* Take one array: its kind is i (image), x (column), r (radii), o (column, written), t (radii x column, written). */
static int take(Arrays *a, PyObject *object, char kind)
{
    Py_buffer *view = &a->view[a->taken];
    int written = kind == 'o' || kind == 't', ndim = kind == 'i' || kind == 't' ? 2 : 1, fits;

    if (PyObject_GetBuffer(object, view, PyBUF_FORMAT | PyBUF_C_CONTIGUOUS | (written ? PyBUF_WRITABLE : 0)) < 0)
        return -1;
    a->taken++;
    fits = view->ndim == ndim && strcmp(view->format, kind == 'i' ? "f" : "d") == 0;
    if (fits && kind == 'i') {
        a->image.pixels = view->buf;
        a->image.ny = view->shape[0];
        a->image.nx = view->shape[1];
    } else if (fits && kind == 'r')
        a->n_radius = view->shape[0];
    else if (fits) {
        if (a->n < 0)
            a->n = view->shape[0];
        fits = view->shape[ndim - 1] == a->n && (kind != 't' || view->shape[0] == a->n_radius);
    }
    if (!fits)
        PyErr_Format(PyExc_ValueError, "argument %d: type, dimensions or length do not fit", a->taken);
    return fits ? 0 : -1;
}

static int take_all(Arrays *a, PyObject *args, const char *kinds)
{
    a->taken = 0;
    a->n = -1;
    if (PyTuple_Size(args) != (Py_ssize_t)strlen(kinds)) {
        PyErr_Format(PyExc_TypeError, "expected %d arrays", (int)strlen(kinds));
        return -1;
    }
    for (int k = 0; kinds[k]; k++)
        if (take(a, PyTuple_GetItem(args, k), kinds[k]) < 0) {
            give_back(a);
            return -1;
        }
    return 0;
}

#define COLUMN(k) ((double *)arrays.view[k].buf)

static PyObject *circle_sums(PyObject *self, PyObject *args)
{
    Arrays arrays;
    (void)self;
    if (take_all(&arrays, args, "ixxrt") < 0)
        return NULL;
    const double *x = COLUMN(1), *y = COLUMN(2), *radius = COLUMN(3);
    double *flux = COLUMN(4), largest = 0.0;
    double *work = malloc((size_t)(4 * arrays.image.nx + 2) * sizeof(double));

    if (work) {
        Py_BEGIN_ALLOW_THREADS
        for (Py_ssize_t m = 0; m < arrays.n_radius; m++)
            largest = radius[m] > largest ? radius[m] : largest;
        for (Py_ssize_t k = 0; k < arrays.n; k++) {
            if (k + 1 < arrays.n)
                fetch(&arrays.image, x[k + 1], y[k + 1], largest);
            for (Py_ssize_t m = 0; m < arrays.n_radius; m++)
                flux[m * arrays.n + k] = circle_sum(&arrays.image, x[k], y[k], radius[m], work);
        }
        Py_END_ALLOW_THREADS
    } else
        PyErr_NoMemory();
    free(work);
    give_back(&arrays);
    return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
}

static PyObject *windowed_positions(PyObject *self, PyObject *args)
{
    Arrays arrays;
    (void)self;
    if (take_all(&arrays, args, "ixxxoo") < 0)
        return NULL;
    const double *x = COLUMN(1), *y = COLUMN(2), *sigma = COLUMN(3);
    double *new_x = COLUMN(4), *new_y = COLUMN(5);
    Slice *columns = malloc((size_t)(arrays.image.nx + 1) * sizeof(Slice));
    Slice *rows = malloc((size_t)(arrays.image.ny + 1) * sizeof(Slice));

    if (columns && rows) {
        Py_BEGIN_ALLOW_THREADS
        for (Py_ssize_t k = 0; k < arrays.n; k++) {
            if (k + 1 < arrays.n)
                fetch(&arrays.image, x[k + 1], y[k + 1], WINDOW_SIGMAS * sigma[k + 1]);
            new_x[k] = x[k];
            new_y[k] = y[k];
            window(&arrays.image, &new_x[k], &new_y[k], sigma[k], columns, rows);
        }
        Py_END_ALLOW_THREADS
    } else
        PyErr_NoMemory();
    free(columns);
    free(rows);
    give_back(&arrays);
    return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
}

static PyObject *first_moments(PyObject *self, PyObject *args)
{
    Arrays arrays;
    (void)self;
    if (take_all(&arrays, args, "ixxxxxxo") < 0)
        return NULL;
    const double *x = COLUMN(1), *y = COLUMN(2), *a = COLUMN(3), *b = COLUMN(4), *theta = COLUMN(5), *r = COLUMN(6);
    double *moment = COLUMN(7);

    Py_BEGIN_ALLOW_THREADS
    for (Py_ssize_t k = 0; k < arrays.n; k++) {
        if (k + 1 < arrays.n)
            fetch(&arrays.image, x[k + 1], y[k + 1], r[k + 1] * a[k + 1]);
        moment[k] = first_moment(&arrays.image, x[k], y[k], ellipse(a[k], b[k], theta[k]), r[k]);
    }
    Py_END_ALLOW_THREADS
    give_back(&arrays);
    return Py_NewRef(Py_None);
}

static PyObject *ellipse_sums(PyObject *self, PyObject *args)
{
    Arrays arrays;
    (void)self;
    if (take_all(&arrays, args, "ixxxxxxoo") < 0)
        return NULL;
    const double *x = COLUMN(1), *y = COLUMN(2), *a = COLUMN(3), *b = COLUMN(4), *theta = COLUMN(5), *r = COLUMN(6);
    double *flux = COLUMN(7), *cut = COLUMN(8);
    double *square = malloc((size_t)(arrays.image.nx + 1) * SIDE * sizeof(double));
    double *cross = malloc((size_t)(arrays.image.nx + 1) * SIDE * sizeof(double));

    if (square && cross) {
        Py_BEGIN_ALLOW_THREADS
        for (Py_ssize_t k = 0; k < arrays.n; k++) {
            if (k + 1 < arrays.n)
                fetch(&arrays.image, x[k + 1], y[k + 1], r[k + 1] * a[k + 1]);
            flux[k] = ellipse_sum(&arrays.image, x[k], y[k], ellipse(a[k], b[k], theta[k]), b[k], r[k], square, cross,
                                  &cut[k]);
        }
        Py_END_ALLOW_THREADS
    } else
        PyErr_NoMemory();
    free(square);
    free(cross);
    give_back(&arrays);
    return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
}

static PyMethodDef methods[] = {
    {"circle_sums", circle_sums, METH_VARARGS,
     "circle_sums(data, x, y, radius, flux)\n\nSum the pixels in circles with exact overlap: flux[m, k] of radius[m] "
     "around x[k], y[k]."},
    {"windowed_positions", windowed_positions, METH_VARARGS,
     "windowed_positions(data, x, y, sigma, new_x, new_y)\n\nMove positions to the barycentres under a Gaussian window "
     "of 4 sigma."},
    {"first_moments", first_moments, METH_VARARGS,
     "first_moments(data, x, y, a, b, theta, r, moment)\n\nMean distance of the light in ellipses of r half axes, in "
     "half axes; 0 where light or moment is not positive."},
    {"ellipse_sums", ellipse_sums, METH_VARARGS,
     "ellipse_sums(data, x, y, a, b, theta, r, flux, cut)\n\nSum the pixels in ellipses of r half axes with 5 x 5 "
     "subpixels; cut is 1 where the image's edge cuts the ellipse, else 0."},
    {NULL, NULL, 0, NULL},
};

static int fill(PyObject *module)
{
    if (PyModule_AddStringConstant(module, "__version__", VERSION) < 0)
        return -1;
    return PyModule_AddIntConstant(module, "INTERFACE", INTERFACE);
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, (void *)fill}, {0, NULL}};

static PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "ztfdb_kernels", "Sums of pixels for ztfdb, compiled.", 0, methods, slots, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit_ztfdb_kernels(void) { return PyModuleDef_Init(&definition); }
