//! The normal distribution, accurate far into both tails, without branches.
//!
//! Everything comes from m = pdf(z) / P(Z > z) at z = |x|, the inverse Mills ratio, as z + d with d > 0.
//! Up to a power of z + c, d and the higher derivatives of ln P(Z > z) are smooth functions of
//! (z - 3.5) / (z + 3.5) on all of [0, inf], and polynomials there.

use super::elementary::{exp, ln, log1p, polynomial, select};
use super::gamma::HALF_LN_2PI;

const INV_SQRT_2PI: f64 = 0.398_942_280_401_432_7;
/// Larger arguments count as this one; squares stay finite.
const LIMIT: f64 = 1e100;
/// The same for the density, which is below 1e-308 here.
const PDF_LIMIT: f64 = 40.0;

/// (z + 1) d.
const EXCESS: [f64; 27] = [
    1.1312606918596488,
    -0.033650801961951,
    -0.23240183756755062,
    0.17406459876373784,
    -0.009895560060049737,
    -0.05025491501120112,
    0.014956225185129625,
    0.014014751167087534,
    -0.006901027850766084,
    -0.004061692910072974,
    0.0025836503349750276,
    0.0012499707527497631,
    -0.0008647582471463483,
    -0.00040415211166360964,
    0.000261728302646661,
    0.00013156605079683032,
    -7.049000072422844e-05,
    -4.05574700209143e-05,
    1.6389256465545116e-05,
    1.1033060744588812e-05,
    -3.16630311259102e-06,
    -2.4267337292100915e-06,
    4.88546133525375e-07,
    3.762774741002633e-07,
    -5.717453174465993e-08,
    -3.0275384529218994e-08,
    4.1203148598277545e-09,
];
/// (z + 1/2)^3 times the third derivative of ln P(Z <= x) at x = -z.
const THIRD: [f64; 29] = [
    1.5040529455647058,
    1.9313483870613957,
    -1.172906923190646,
    -1.569015034026047,
    1.3211108992069442,
    0.9329670182495853,
    -1.0772656985791629,
    -0.4449557830763085,
    0.6881561403740336,
    0.1967143692113014,
    -0.3735815284991368,
    -0.0899663046906629,
    0.17892030297878786,
    0.043995000168599044,
    -0.07636178257561993,
    -0.02174983619375478,
    0.02884260662072984,
    0.009990915489974089,
    -0.009465516746152099,
    -0.003972895009422383,
    0.002627490036043167,
    0.0012846947838441496,
    -0.0005964952014257215,
    -0.0003129172253286283,
    0.0001060825890880395,
    5.056456628306394e-05,
    -1.3666314899703578e-05,
    -4.030193519933922e-06,
    9.946207732922273e-07,
];
/// (z + 3/2)^4 times the fourth.
const FOURTH: [f64; 29] = [
    8.321609343126859,
    6.441585612731756,
    -11.295732541951551,
    -6.671573969291653,
    12.040675738671698,
    4.77373334429242,
    -10.049744555912142,
    -2.906895420115584,
    6.953265315356131,
    1.7169297312861078,
    -4.141709122387275,
    -1.0380728210329508,
    2.161222265525957,
    0.6222085608693774,
    -0.9898246543280348,
    -0.3459685996535805,
    0.3941828377046358,
    0.1684290729428925,
    -0.13422904624762627,
    -0.06846877240463486,
    0.038340488994885534,
    0.022080586646919483,
    -0.009054926961200147,
    -0.00525122804874296,
    0.001752620926273619,
    0.0008109169538712092,
    -0.00026385691984005203,
    -6.0304125910994275e-05,
    2.3383350995889556e-05,
];

/// |x|, at most `limit`; NaN stays NaN.
#[inline(always)]
fn cap(x: f64, limit: f64) -> f64 {
    select(x.abs() > limit, limit, x.abs())
}

#[inline(always)]
fn mapped(z: f64) -> f64 {
    (z - 3.5) / (z + 3.5)
}

/// d(z), z >= 0: the inverse Mills ratio less z.
#[inline(always)]
fn excess(z: f64) -> f64 {
    polynomial(&EXCESS, mapped(z)) / (z + 1.0)
}

/// Density of the standard normal (at least 1e-308).
#[inline(always)]
pub fn normal_pdf(x: f64) -> f64 {
    let x = cap(x, PDF_LIMIT);
    let square = x * x;
    // what rounding took from the square
    let low = x.mul_add(x, -square);
    INV_SQRT_2PI * exp(-0.5 * square) * (-0.5f64).mul_add(low, 1.0)
}

/// Mills ratio P(Z > z) / pdf(z) for z >= 0.
#[inline(always)]
pub fn mills(z: f64) -> f64 {
    1.0 / (z + excess(z))
}

/// P(Z <= x).
#[inline(always)]
pub fn normal_cdf(x: f64) -> f64 {
    let z = cap(x, LIMIT);
    let tail = normal_pdf(z) * mills(z);
    select(x < 0.0, tail, 1.0 - tail)
}

/// ln P(Z <= x).
#[inline(always)]
pub fn log_normal_cdf(x: f64) -> f64 {
    log_normal_cdf_derivatives(x)[0]
}

/// ln P(Z <= x) and its first four derivatives.
#[inline(always)]
pub fn log_normal_cdf_derivatives(x: f64) -> [f64; 5] {
    let z = cap(x, LIMIT);
    let d = excess(z);
    let m = z + d;
    let pdf = normal_pdf(z);
    let tail = pdf / m;
    let [l1, l2, l3, l4] = left_derivatives(z, m, d);
    let [r1, r2, r3, r4] = right_derivatives(z, pdf / (1.0 - tail));
    let left = x < 0.0;
    [
        select(left, (-0.5 * z).mul_add(z, -HALF_LN_2PI - ln(m)), log1p(-tail)),
        select(left, l1, r1),
        select(left, l2, r2),
        select(left, l3, r3),
        select(left, l4, r4),
    ]
}

/// Derivatives at x = -z.
#[inline(always)]
fn left_derivatives(z: f64, m: f64, d: f64) -> [f64; 4] {
    let t = mapped(z);
    let (i3, i4) = (1.0 / (z + 0.5), 1.0 / (z + 1.5));
    let i4 = i4 * i4;
    [m, -m * d, polynomial(&THIRD, t) * (i3 * i3 * i3), polynomial(&FOURTH, t) * (i4 * i4)]
}

/// Derivatives at x = z, from m = pdf / cdf: m' = -m d, d = x + m, e = d' = 1 - m d.
#[inline(always)]
fn right_derivatives(z: f64, m: f64) -> [f64; 4] {
    let d = z + m;
    let e = 1.0 - m * d;
    let third = m * (d * d - e);
    [m, -m * d, third, m * (2.0 * d * e - third) - m * d * (d * d - e)]
}

/// The x with P(Z <= x) = p, for p in (0, 1).
pub fn normal_quantile(p: f64) -> f64 {
    if p > 0.5 {
        return -normal_quantile(1.0 - p);
    }
    let target = ln(p);
    // Left of the root of a concave increasing function: Newton climbs to it monotonically.
    let mut x = -(-2.0 * target).sqrt();
    for _ in 0..60 {
        let [value, slope, ..] = log_normal_cdf_derivatives(x);
        let step = (target - value) / slope;
        x += step;
        if step <= f64::EPSILON * x.abs() {
            break;
        }
    }
    x
}
