//! exp, log and their relatives, within 2 units in the last place.

use std::f64::consts::{FRAC_1_PI, FRAC_PI_4, LN_2, LOG2_E, SQRT_2};

/// ln 2 minus its double.
const LN_2_LOW: f64 = 2.319_046_813_846_299_6e-17;
/// Beyond this exp saturates; 2^n then stays a normal number.
const EXP_LIMIT: f64 = 708.0;
/// Adding 1.5 * 2^52 rounds to an integer and leaves it in the low bits.
const ROUNDER: f64 = 6_755_399_441_055_744.0;

/// Minimax coefficients of (exp(r) - 1 - r) / r^2 on |r| <= ln(2) / 2, error 1e-16.
const EXP: [f64; 10] = [
    0.500_000_000_000_000_1,
    0.166_666_666_666_666_69,
    0.041_666_666_666_624_136,
    0.008_333_333_333_330_063,
    0.001_388_888_891_720_967,
    0.000_198_412_698_630_505_06,
    2.480_152_130_224_108_2e-5,
    2.755_726_846_483_162_7e-6,
    2.762_008_545_501_841_4e-7,
    2.510_038_319_586_702e-8,
];
/// The same on |r| <= 1/2, error 1e-18.
const EXPM1: [f64; 12] = [
    0.5,
    0.166_666_666_666_666_66,
    0.041_666_666_666_667_06,
    0.008_333_333_333_333_36,
    0.001_388_888_888_870_455,
    0.000_198_412_698_411_469_93,
    2.480_158_761_614_541_4e-5,
    2.755_731_943_362_024e-6,
    2.755_707_663_664_272_5e-7,
    2.505_194_670_972_162e-8,
    2.096_295_581_597_607_6e-9,
    1.611_649_651_437_154_8e-10,
];
/// Minimax coefficients of (2 atanh(s) - 2 s) / s^3 in s^2, for (1 + s) / (1 - s) in [sqrt(1/2), sqrt(2)].
const LN: [f64; 8] = [
    0.666_666_666_666_666_6,
    0.400_000_000_000_008_8,
    0.285_714_285_708_032_3,
    0.222_222_223_918_004_7,
    0.181_817_956_308_847_53,
    0.153_862_402_058_137_8,
    0.132_687_596_685_606_12,
    0.130_867_670_099_481_75,
];
/// Minimax coefficients of (atan(t) / t - 1) / t^2 in t^2 on |t| <= tan(pi / 8).
const ATAN: [f64; 11] = [
    -0.3333333333333333,
    0.19999999999995516,
    -0.14285714284665682,
    0.11111111015187018,
    -0.0909090457530649,
    0.07692183125376892,
    -0.06664510525508936,
    0.05858140904866328,
    -0.050854078345894844,
    0.03923044778479309,
    -0.019175404711104935,
];

/// `yes` or `no`, both computed: a branch would keep a loop from becoming vector code.
#[inline(always)]
pub(crate) fn select(condition: bool, yes: f64, no: f64) -> f64 {
    std::hint::select_unpredictable(condition, yes, no)
}

/// Even and odd powers apart: two short chains of operations wait less than a long one.
#[inline(always)]
pub(crate) fn polynomial<const N: usize>(c: &[f64; N], x: f64) -> f64 {
    let square = x * x;
    let (mut last, mut other) = (c[N - 1], c[N - 2]);
    let mut k = N - 2;
    while k > 0 {
        k -= 1;
        (last, other) = (other, last.mul_add(square, c[k]));
    }
    last.mul_add(x, other)
}

/// exp(x), saturating at |x| = 708; NaN only for NaN.
#[inline(always)]
pub fn exp(x: f64) -> f64 {
    // Comparisons, not min and max, which would swallow NaN.
    let x = if x > EXP_LIMIT { EXP_LIMIT } else { x };
    let x = if x < -EXP_LIMIT { -EXP_LIMIT } else { x };
    let shifted = x.mul_add(LOG2_E, ROUNDER);
    let n = shifted - ROUNDER;
    let r = n.mul_add(-LN_2_LOW, n.mul_add(-LN_2, x));
    let p = (r * r).mul_add(polynomial(&EXP, r), r) + 1.0;
    f64::from_bits(p.to_bits().wrapping_add(shifted.to_bits() << 52))
}

/// exp(x) - 1 for |x| <= 1/2.
#[inline(always)]
pub(crate) fn expm1_near(x: f64) -> f64 {
    (x * x).mul_add(polynomial(&EXPM1, x), x)
}

/// exp(x) - 1 without cancellation; saturates as [`exp`].
#[inline(always)]
pub fn expm1(x: f64) -> f64 {
    select(x.abs() <= 0.5, expm1_near(x), exp(x) - 1.0)
}

/// exp(x) - 1 - x for |x| <= 1/2.
#[inline(always)]
pub(super) fn expm1mx_near(x: f64) -> f64 {
    x * x * polynomial(&EXPM1, x)
}

const SQRT_HALF_BITS: u64 = 0x3fe6_a09e_667f_3bcd;
const ONE_BITS: u64 = 0x3ff0_0000_0000_0000;
const MANTISSA: u64 = 0x000f_ffff_ffff_ffff;
/// 2^52 as bits: or-ing a small integer into it and subtracting converts to floating point.
const TWO52_BITS: u64 = 0x4330_0000_0000_0000;
const TWO52_BIASED: f64 = 4_503_599_627_370_496.0 + 1023.0;

/// (k, f, 2^-k) with u = 2^k (1 + f) and 1 + f in [sqrt(1/2), sqrt(2)], for normal u > 0.
#[inline(always)]
fn split(u: f64) -> (f64, f64, f64) {
    let shifted = u.to_bits().wrapping_add(ONE_BITS - SQRT_HALF_BITS);
    let k = f64::from_bits((shifted >> 52) | TWO52_BITS) - TWO52_BIASED;
    let m = (shifted & MANTISSA) + SQRT_HALF_BITS;
    let scale = f64::from_bits(ONE_BITS.wrapping_add(m).wrapping_sub(u.to_bits()));
    (k, f64::from_bits(m) - 1.0, scale)
}

/// k ln 2 + ln(1 + f) + low.
#[inline(always)]
fn assemble(k: f64, f: f64, low: f64) -> f64 {
    let s = f / (2.0 + f);
    let z = s * s;
    let half = 0.5 * f * f;
    let tail = s.mul_add(z.mul_add(polynomial(&LN, z), half), k.mul_add(LN_2_LOW, low));
    k.mul_add(LN_2, f - (half - tail))
}

/// ln(u + c) for |c| below the spacing of u.
#[inline(always)]
fn ln_sum(u: f64, c: f64) -> f64 {
    let (k, f, scale) = split(u);
    // c / u to second order in f
    let log = assemble(k, f, c * scale * f.mul_add(f - 1.0, 1.0));
    // the bits of NaN would pass for a number
    select(u.is_nan(), u, log)
}

/// ln(x) for x > 0; zero and subnormal numbers count as the smallest normal one.
#[inline(always)]
pub fn ln(x: f64) -> f64 {
    let (k, f, _) = split(select(x < f64::MIN_POSITIVE, f64::MIN_POSITIVE, x));
    select(x.is_nan(), x, assemble(k, f, 0.0))
}

/// ln(1 + x) for x > -1.
#[inline(always)]
pub fn log1p(x: f64) -> f64 {
    let u = 1.0 + x;
    ln_sum(u, select(x > 1.0, 1.0 - (u - x), x - (u - 1.0)))
}

/// ln(1 + x) for 0 <= x <= 1: by how much 1 + x, or half of it, differs from 1 is known to half an ulp.
#[inline(always)]
pub fn log1p_unit(x: f64) -> f64 {
    let far = x > SQRT_2 - 1.0;
    assemble(select(far, 1.0, 0.0), select(far, 0.5 * (x - 1.0), x), 0.0)
}

/// ln(1 + x) where `near`, else ln(u), for the price of one logarithm.
#[inline(always)]
pub(crate) fn log1p_or_ln(near: bool, x: f64, u: f64) -> f64 {
    let one_plus = 1.0 + x;
    let c = select(x > 1.0, 1.0 - (one_plus - x), x - (one_plus - 1.0));
    ln_sum(select(near, one_plus, u), select(near, c, 0.0))
}

/// ln(1 + x) - x for -0.29 <= x <= 0.41.
#[inline(always)]
pub(crate) fn log1pmx_near(x: f64) -> f64 {
    let s = x / (2.0 + x);
    let z = s * s;
    s * z.mul_add(polynomial(&LN, z), -x)
}

/// ln(1 + x) - x without cancellation, for x > -1.
#[inline(always)]
pub fn log1pmx(x: f64) -> f64 {
    select((x - 0.06).abs() <= 0.35, log1pmx_near(x), log1p(x) - x)
}

/// (p, 1 - p) with p = 1 / (1 + exp(-x)), each accurate in its own tail.
#[inline(always)]
pub fn logistic(x: f64) -> (f64, f64) {
    let e = exp(-x.abs());
    let large = 1.0 / (1.0 + e);
    let small = e * large;
    let positive = x >= 0.0;
    (select(positive, large, small), select(positive, small, large))
}

/// ln(1 + exp(x)).
#[inline(always)]
pub fn softplus(x: f64) -> f64 {
    select(x > 0.0, x, 0.0) + log1p_unit(exp(-x.abs()))
}

/// atan(t) for 0 <= t <= 1.
#[inline(always)]
fn atan_unit(t: f64) -> f64 {
    let high = t > SQRT_2 - 1.0;
    let s = select(high, (t - 1.0) / (t + 1.0), t);
    let z = s * s;
    let a = (s * z).mul_add(polynomial(&ATAN, z), s);
    select(high, FRAC_PI_4 + a, a)
}

/// P(X <= x) for a Cauchy variable X.
#[inline(always)]
pub fn cauchy_cdf(x: f64) -> f64 {
    let a = x.abs();
    let far = a > 1.0;
    let angle = FRAC_1_PI * atan_unit(select(far, 1.0 / a, a));
    let tail = select(far, angle, 0.5 - angle);
    select(x < 0.0, tail, 1.0 - tail)
}
