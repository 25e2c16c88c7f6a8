//! Functions of jets: each by its own derivatives at the jet's value.

use super::{FACTORIAL, Jet};
use crate::special::{self, HALF_LN_2PI, expm1, log_normal_cdf_derivatives, logistic, softplus, stirling, vectorized};

/// Below this Stirling's remainder of exp(u) has a simple form, within exp(2 u).
const FAR_BELOW: f64 = -18.0;
const ONE_LESS_EULER: f64 = 0.422_784_335_098_467_14;

/// ln(1 + exp(x)) and its first four derivatives.
pub(in crate::family) fn softplus_derivatives(x: f64) -> [f64; 5] {
    let ((p, q), value) = vectorized(
        #[inline(always)]
        || (logistic(x), softplus(x)),
    );
    let w = p * q;
    [value, p, w, w * (q - p), w * (1.0 - 6.0 * w)]
}

impl<const K: usize, const N: usize> Jet<K, N> {
    pub(in crate::family) fn exp(self) -> Self {
        self.compose([vectorized(|| special::exp(self.value())); 5])
    }

    /// Self over its value: powers of the value would overflow where it is tiny or huge.
    fn relative(self) -> Self {
        self * (1.0 / self.value())
    }

    pub(in crate::family) fn ln(self) -> Self {
        let value = vectorized(|| special::ln(self.value()));
        self.relative().compose([value, 1.0, -1.0, 2.0, -6.0])
    }

    pub(in crate::family) fn recip(self) -> Self {
        self.relative().compose([1.0, -1.0, 2.0, -6.0, 24.0]) * (1.0 / self.value())
    }

    /// exp(x) - 1.
    pub(in crate::family) fn expm1(self) -> Self {
        let e = special::exp(self.value());
        self.compose([expm1(self.value()), e, e, e, e])
    }

    /// ln(1 + x) for x > -1.
    pub(in crate::family) fn log1p(self) -> Self {
        let x = self.value();
        let i = 1.0 / (1.0 + x);
        let i2 = i * i;
        self.compose([special::log1p(x), i, -i2, 2.0 * i2 * i, -6.0 * i2 * i2])
    }

    /// ln(1 + x) - x, for x > -1.
    pub(in crate::family) fn log1pmx(self) -> Self {
        let x = self.value();
        let i = 1.0 / (1.0 + x);
        let i2 = i * i;
        self.compose([special::log1pmx(x), -x * i, -i2, 2.0 * i2 * i, -6.0 * i2 * i2])
    }

    /// Stirling's remainder of the gamma function, x > 0.
    pub(in crate::family) fn stirling(self) -> Self {
        self.relative().compose(stirling(self.value()))
    }

    /// The function of two variables with these derivatives at the values of two jets.
    pub(in crate::family) fn compose2([x, y]: [Self; 2], f: &[f64]) -> Self {
        let powers = |mut step: Self| {
            step.0[0] = 0.0;
            let mut all = [Self::constant(1.0); 5];
            for k in 1..=Self::ORDER {
                all[k] = all[k - 1] * step;
            }
            all
        };
        let (x, y) = (powers(x), powers(y));
        let (mut out, mut c) = (Self::constant(0.0), 0);
        for order in 0..=Self::ORDER {
            for k in 0..=order {
                out = out + x[order - k] * y[k] * (f[c] / (FACTORIAL[order - k] * FACTORIAL[k]));
                c += 1;
            }
        }
        out
    }

    pub(in crate::family) fn square(self) -> Self {
        self * self
    }

    /// x^p for x > 0.
    pub(in crate::family) fn powf(self, p: f64) -> Self {
        let (x, mut f) = (self.value(), [0.0; 5]);
        let mut factor = 1.0;
        for (k, f) in f.iter_mut().enumerate() {
            *f = factor * special::exp((p - k as f64) * special::ln(x));
            factor *= p - k as f64;
        }
        self.compose(f)
    }

    /// 1 / (1 + exp(-x)).
    pub(in crate::family) fn logistic(self) -> Self {
        let (p, q) = logistic(self.value());
        let w = p * q;
        self.compose([p, w, w * (q - p), w * (1.0 - 6.0 * w), w * (q - p) * (1.0 - 12.0 * w)])
    }

    /// ln(1 + exp(x)).
    pub(in crate::family) fn softplus(self) -> Self {
        self.compose(softplus_derivatives(self.value()))
    }

    /// ln(1 - exp(x)) for x < 0.
    pub(in crate::family) fn log1mexp(self) -> Self {
        let x = self.value();
        // with c = 1 / (exp(-x) - 1): f' = -c and c' = c (1 + c)
        let c = 1.0 / expm1(-x);
        let value = if x > -0.693 { special::ln(-expm1(x)) } else { special::log1p(-special::exp(x)) };
        let c1 = c * (1.0 + c);
        self.compose([value, -c, -c1, -c1 * (1.0 + 2.0 * c), -c1 * (1.0 + 6.0 * c1)])
    }

    /// The jet with its value moved into a range: beyond it a function keeps the derivatives of the border.
    pub(in crate::family) fn clamp(mut self, low: f64, high: f64) -> Self {
        self.0[0] = self.0[0].clamp(low, high);
        self
    }

    /// Stirling's remainder of exp(self).
    pub(in crate::family) fn stirling_exp(self) -> Self {
        let u = self.value();
        if u < FAR_BELOW {
            // lgamma(x) = -ln x - (Euler's constant) x
            let (x, v) = (special::exp(u), u - ONE_LESS_EULER);
            let bend = [x * v, x * (v + 1.0), x * (v + 2.0), x * (v + 3.0), x * (v + 4.0)];
            return self.compose([-0.5 * u - HALF_LN_2PI - bend[0], -0.5 - bend[1], -bend[2], -bend[3], -bend[4]]);
        }
        let [s, s1, s2, s3, s4] = vectorized(
            #[inline(always)]
            || stirling(special::exp(u)),
        );
        self.compose([s, s1, s1 + s2, s1 + 3.0 * s2 + s3, s1 + 7.0 * s2 + 6.0 * s3 + s4])
    }

    /// ln of the standard normal distribution function.
    pub(in crate::family) fn log_normal_cdf(self) -> Self {
        let x = self.value();
        self.compose(vectorized(
            #[inline(always)]
            || log_normal_cdf_derivatives(x),
        ))
    }
}
