//! Special functions against stored values, and against each other where no value is needed.

use glimm_core::special::*;

#[allow(clippy::approx_constant)] // values of functions, some of which are famous
#[rustfmt::skip] // one row of arguments and values to a line
mod values;
use values::*;

/// exp, ln and their relatives.
const ELEMENTARY_ULPS: f64 = 2.0;
/// Gamma functions; absolute where the function itself is below 1 (digamma has a root).
const GAMMA_TOLERANCE: f64 = 2e-14;
/// Remainders of Stirling's series, absolute.
const STIRLING_TOLERANCE: f64 = 1e-14;
const NORMAL_TOLERANCE: f64 = 2e-14;
/// Third and fourth derivatives of ln P(Z <= x), by fits to this accuracy.
const HIGH_DERIVATIVE_TOLERANCE: f64 = 1e-12;
/// Both tails of the incomplete functions.
const INCOMPLETE_TOLERANCE: f64 = 1e-12;

/// Distance in units in the last place of `expected`.
fn ulps(found: f64, expected: f64) -> f64 {
    if expected == 0.0 {
        return if found == 0.0 { 0.0 } else { f64::INFINITY };
    }
    let size = expected.abs();
    ((found - expected) / (f64::from_bits(size.to_bits() + 1) - size)).abs()
}

#[track_caller]
fn near(what: &str, found: f64, expected: f64, limit: f64) {
    let error = ulps(found, expected);
    assert!(error <= limit, "{what}: {found:e} is {error} ulp from {expected:e}");
}

#[track_caller]
fn close(what: &str, found: f64, expected: f64, scale: f64, tolerance: f64) {
    let error = ((found - expected) / scale).abs();
    assert!(error <= tolerance, "{what}: {found:e} is not {expected:e} (error {error:.1e})");
}

#[test]
fn exponentials_and_logarithms_at_stored_values() {
    for [x, e, em1] in EXP {
        near(&format!("exp({x})"), exp(x), e, ELEMENTARY_ULPS);
        near(&format!("expm1({x})"), expm1(x), em1, ELEMENTARY_ULPS);
    }
    for [x, l, l1p, l1pmx] in LN {
        near(&format!("ln({x})"), ln(x), l, ELEMENTARY_ULPS);
        near(&format!("log1p({x})"), log1p(x), l1p, ELEMENTARY_ULPS);
        if x <= 1.0 {
            near(&format!("log1p_unit({x})"), log1p_unit(x), l1p, ELEMENTARY_ULPS);
        }
        let scale = l1pmx.abs().max(f64::MIN_POSITIVE);
        close(&format!("log1pmx({x})"), log1pmx(x), l1pmx, scale, 1e-14);
    }
    for [x, l1p, l1pmx] in LOG1P_NEGATIVE {
        near(&format!("log1p({x})"), log1p(x), l1p, ELEMENTARY_ULPS);
        close(&format!("log1pmx({x})"), log1pmx(x), l1pmx, l1pmx, 1e-14);
    }
    for [x, p, q, s] in LOGISTIC {
        let (found_p, found_q) = logistic(x);
        near(&format!("logistic({x})"), found_p, p, 3.0);
        near(&format!("logistic({x}) complement"), found_q, q, 3.0);
        near(&format!("softplus({x})"), softplus(x), s, 3.0);
    }
    for [x, p] in CAUCHY {
        near(&format!("cauchy({x})"), cauchy_cdf(x), p, 3.0);
    }
}

/// The platform's own functions are within 1 ulp.
#[test]
fn exponentials_and_logarithms_on_a_fine_grid() {
    let mut worst = [0.0f64; 5];
    for i in 0..200_000 {
        let u = (i as f64 * 0.618_033_988_749_894_9).fract();
        let x = if i % 2 == 0 { 1400.0 * u - 700.0 } else { 4.0 * u - 2.0 };
        let y = x.exp();
        worst[0] = worst[0].max(ulps(exp(x), y));
        worst[1] = worst[1].max(ulps(expm1(x), x.exp_m1()));
        worst[2] = worst[2].max(ulps(ln(y), y.ln()));
        worst[3] = worst[3].max(ulps(log1p(y), y.ln_1p()));
        worst[4] = worst[4].max(ulps(log1p_unit(u), u.ln_1p()));
    }
    assert!(worst.iter().all(|w| *w <= 1.0 + ELEMENTARY_ULPS), "{worst:?}");
}

#[test]
fn elementary_functions_saturate() {
    let extremes = [-1e308, -1e4, -745.0, -1e-308, 0.0, 1e-308, 745.0, 1e4, 1e308];
    for x in extremes {
        for value in [exp(x), expm1(x), softplus(x), logistic(x).0, logistic(x).1, cauchy_cdf(x)] {
            assert!(value.is_finite(), "at {x}");
        }
        for value in [ln(x.abs()), log1p(x.abs()), log1pmx(x.abs())] {
            assert!(value.is_finite(), "at {x}");
        }
        assert!(log_normal_cdf_derivatives(x).iter().all(|v| !v.is_nan()), "at {x}");
    }
    assert!(exp(f64::NAN).is_nan() && ln(f64::NAN).is_nan() && log1p_unit(f64::NAN).is_nan());
}

#[test]
fn same_bits_with_and_without_vector_instructions() {
    let x: Vec<f64> = (0..1000).map(|i| 1.5 * f64::from(i) - 750.0).collect();
    let scalar: Vec<f64> = x.iter().map(|&x| exp(x) + softplus(x) + stirling(x.abs())[2]).collect();
    let mut vector = vec![0.0; x.len()];
    vectorized(
        #[inline(always)]
        || {
            for (v, &x) in vector.iter_mut().zip(&x) {
                *v = exp(x) + softplus(x) + stirling(x.abs())[2];
            }
        },
    );
    for (a, b) in scalar.iter().zip(&vector) {
        assert!(a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan());
    }
}

#[test]
fn gamma_functions() {
    for [x, l, p0, p1, p2, p3] in GAMMA {
        let checks = [
            ("lgamma", lgamma(x), l),
            ("digamma", digamma(x), p0),
            ("trigamma", trigamma(x), p1),
            ("polygamma2", polygamma2(x), p2),
            ("polygamma3", polygamma3(x), p3),
        ];
        for (name, found, expected) in checks {
            // lgamma is sharp at its roots too; digamma, with a root at 1.46, is absolutely so
            let scale = if name == "digamma" { expected.abs().max(1.0) } else { expected.abs() };
            close(&format!("{name}({x})"), found, expected, scale, GAMMA_TOLERANCE);
        }
    }
    for row in STIRLING {
        let s = stirling(row[0]);
        for k in 0..5 {
            let scale = row[k + 1].abs().max(1.0);
            let what = format!("x^{k} S^({k}) at {}", row[0]);
            close(&what, s[k], row[k + 1], scale, STIRLING_TOLERANCE);
        }
    }
}

#[test]
fn saturated_poisson_is_the_log_density_at_the_mean() {
    for y in [1.0f64, 2.0, 7.0, 30.0, 170.0] {
        let direct = y * y.ln() - y - lgamma(y + 1.0);
        close(&format!("at {y}"), saturated_poisson(y), direct, 1.0, 1e-12);
    }
    assert_eq!(saturated_poisson(0.0), 0.0);
}

#[test]
fn normal_distribution() {
    for [x, p, l, d1, d2, d3, d4] in NORMAL {
        let found = log_normal_cdf_derivatives(x);
        if p > 0.0 {
            close(&format!("cdf({x})"), normal_cdf(x), p, p, NORMAL_TOLERANCE);
        }
        close(&format!("ln cdf({x})"), found[0], l, l, NORMAL_TOLERANCE);
        assert_eq!(log_normal_cdf(x), found[0]);
        close(&format!("d1({x})"), found[1], d1, d1, NORMAL_TOLERANCE);
        close(&format!("d2({x})"), found[2], d2, d2, NORMAL_TOLERANCE);
        close(&format!("d3({x})"), found[3], d3, d3, HIGH_DERIVATIVE_TOLERANCE);
        close(&format!("d4({x})"), found[4], d4, d4, HIGH_DERIVATIVE_TOLERANCE);
        if x <= 0.0 {
            close(&format!("mills({})", -x), mills(-x), 1.0 / d1, 1.0 / d1, NORMAL_TOLERANCE);
        }
    }
    for [p, x] in QUANTILE {
        close(&format!("quantile({p})"), normal_quantile(p), x, x.abs().max(1e-3), 1e-13);
    }
}

#[test]
fn incomplete_gamma() {
    for [a, x, p, q] in GAMMA_INC {
        let (found_p, found_q) = gamma_inc(a, x);
        close(&format!("P({a}, {x})"), found_p, p, p, INCOMPLETE_TOLERANCE);
        close(&format!("Q({a}, {x})"), found_q, q, q, INCOMPLETE_TOLERANCE);
    }
    assert_eq!(gamma_inc(2.0, 0.0), (0.0, 1.0));
    assert_eq!(gamma_inc(2.0, f64::INFINITY), (1.0, 0.0));
}

#[test]
fn incomplete_beta() {
    for [a, b, x, y, p, q] in BETA_INC {
        let (found_p, found_q) = beta_inc(a, b, x, y);
        close(&format!("I({a}, {b}, {x})"), found_p, p, p, INCOMPLETE_TOLERANCE);
        close(&format!("1 - I({a}, {b}, {x})"), found_q, q, q, INCOMPLETE_TOLERANCE);
        let (mirror_q, mirror_p) = beta_inc(b, a, y, x);
        close("mirrored", mirror_p, found_p, found_p, INCOMPLETE_TOLERANCE);
        close("mirrored", mirror_q, found_q, found_q, INCOMPLETE_TOLERANCE);
    }
    assert_eq!(beta_inc(2.0, 3.0, 0.0, 1.0), (0.0, 1.0));
    assert_eq!(beta_inc(2.0, 3.0, 1.0, 0.0), (1.0, 0.0));
}
